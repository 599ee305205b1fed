/** Bytes in JSON between hosts: the standard alphabet with padding (RFC 4648 §4); the engine has no runtime's own. */
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/** By character code; -1 = no letter of the alphabet. */
const values: Int8Array = Int8Array.from({ length: 128 }, (_, code) => alphabet.indexOf(String.fromCharCode(code)));
/** Characters joined at once: appending one by one makes a rope that is slow to flatten. */
const lineLetters = 4_096;

export function encodeBase64(bytes: Uint8Array): string {
  const lines: string[] = [];
  let line = "";
  for (let i = 0; i < bytes.length; i += 3) {
    const [a = 0, b, c] = [bytes[i], bytes[i + 1], bytes[i + 2]];
    const word = (a << 16) | ((b ?? 0) << 8) | (c ?? 0);
    line += letter(word >> 18) + letter(word >> 12) + (b === undefined ? "=" : letter(word >> 6)) + (c === undefined ? "=" : letter(word));
    if (line.length < lineLetters) continue;
    lines.push(line);
    line = "";
  }
  lines.push(line);
  return lines.join("");
}

/** Null when it is no base64. */
export function decodeBase64(text: string): Uint8Array | null {
  if (text.length % 4 !== 0) return null;
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  for (let i = 0; i < text.length; i += 4) {
    let word = 0;
    for (let j = i; j < i + 4; j += 1) {
      const value = j >= text.length - padding ? 0 : (values[text.charCodeAt(j)] ?? -1);
      if (value < 0) return null;
      word = (word << 6) | value;
    }
    for (let shift = 16; shift >= 0 && at < bytes.length; shift -= 8) bytes[at++] = (word >> shift) & 0xff;
  }
  return bytes;
}

function letter(value: number): string {
  return alphabet.charAt(value & 63);
}

const encoder = new TextEncoder();
const loneSurrogate = /\p{Surrogate}/u;
const loneSurrogates = /\p{Surrogate}/gu;

/** True when `text` has no lone surrogate, so that UTF-8 can carry it unchanged. */
export function isWellFormedText(text: string): boolean {
  return !loneSurrogate.test(text);
}

/** Bytes of `text` in UTF-8. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit < 0x80) continue;
    // A surrogate pair is two units and four bytes; a lone one becomes U+FFFD, three bytes.
    if (unit < 0x800) bytes += 1;
    else if (unit >= 0xd800 && unit < 0xdc00 && isLowSurrogate(text, i + 1)) {
      bytes += 2;
      i++;
    } else bytes += 2;
  }
  return bytes;
}

function isLowSurrogate(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  return unit >= 0xdc00 && unit < 0xe000;
}

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** Text for people, made fit for the wire: well-formed and at most `maxBytes` long, cut at a character. */
export function clipText(text: string, maxBytes: number): string {
  const wellFormed = isWellFormedText(text) ? text : text.replace(loneSurrogates, "\ufffd");
  if (wellFormed.length * 3 <= maxBytes || utf8Length(wellFormed) <= maxBytes) return wellFormed;
  let clipped = "";
  let bytes = 0;
  for (const character of wellFormed) {
    bytes += utf8Length(character);
    if (bytes > maxBytes) break;
    clipped += character;
  }
  return clipped;
}

const strictDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** The text of UTF-8 bytes. Throws TypeError when they are not valid. */
export function decodeUtf8(bytes: Uint8Array): string {
  return strictDecoder.decode(bytes);
}

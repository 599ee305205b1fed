/** Copies of all parts in one buffer, so that a message between threads hands over one thing. Each is a view of it. */
export function packed(parts: readonly Uint8Array[]): { readonly parts: readonly Uint8Array[]; readonly buffer: ArrayBuffer } {
  let size = 0;
  for (const { length } of parts) size += length;
  const buffer = new ArrayBuffer(size);
  const whole = new Uint8Array(buffer);
  let at = 0;
  const views = parts.map((part) => {
    whole.set(part, at);
    at += part.length;
    return whole.subarray(at - part.length, at);
  });
  return { parts: views, buffer };
}

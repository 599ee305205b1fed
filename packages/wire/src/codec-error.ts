/** Bytes or values that do not fit the format. The only error that encoding and decoding can throw. */
export class CodecError extends Error {
  readonly code = "malformed";
  constructor(detail: string) {
    super(detail);
    this.name = "CodecError";
  }
}

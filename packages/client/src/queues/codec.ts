/** How values become bytes and back. */
export interface QueueCodec<T> {
  /** Sent as the header `content-type`, unless the message has one. */
  readonly contentType: string;
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** JSON, the default: what HTTP produces and shows. */
export function jsonCodec<T>(): QueueCodec<T> {
  return {
    contentType: "application/json",
    encode: (value) => {
      const text = JSON.stringify(value) as string | undefined;
      if (text === undefined) throw new TypeError("a message must be a JSON value");
      return encoder.encode(text);
    },
    decode: (bytes) => JSON.parse(decoder.decode(bytes)) as T,
  };
}

/** Bytes as they are. */
export const bytesCodec: QueueCodec<Uint8Array> = {
  contentType: "application/octet-stream",
  encode: (value) => value,
  decode: (bytes) => bytes,
};

/** Bytes of a message in every queue workload. */
export const messageBytes = 1024;

/** What a message of a benchmark says about itself; the rest of its bytes is filling. */
export interface Stamp {
  /** Its number among all messages of the run. */
  readonly id: number;
  /** Its key's number; 0 where messages have no keys. */
  readonly key: number;
  /** Its place within the key. */
  readonly place: number;
}

const digits = 15;
/** Looks like text to every transport, so that bodies in JSON and bodies in bytes are of one size. */
const filling = Buffer.alloc(messageBytes, "abcdefghijklmnopqrstuvwxyz0123456789");

/** A body of its own for each message: adapters keep it until it is sent. */
export function encodeMessage({ id, key, place }: Stamp): Uint8Array {
  const body = Buffer.from(filling);
  body.write(`${String(id).padStart(digits, "0")}${String(key).padStart(digits, "0")}${String(place).padStart(digits, "0")}`, 0, "latin1");
  return body;
}

function number(body: Buffer, index: number): number {
  const value = Number(body.toString("latin1", index * digits, (index + 1) * digits));
  if (!Number.isSafeInteger(value)) throw new Error("a message that no benchmark has produced");
  return value;
}

export function decodeMessage(bytes: Uint8Array): Stamp {
  const body = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (body.length !== messageBytes) throw new Error(`a message of ${body.length} bytes instead of ${messageBytes}`);
  return { id: number(body, 0), key: number(body, 1), place: number(body, 2) };
}

/** Name of key `index`: as long as people's customer numbers are. */
export function keyName(index: number): string {
  return `customer-${String(index).padStart(7, "0")}`;
}

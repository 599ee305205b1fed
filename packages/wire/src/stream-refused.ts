import type { ByteReader, ByteWriter } from "./bytes.ts";
import { decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import { type Refused, frameRefusals } from "./stream-frames.ts";
import { clipText } from "./text.ts";

type Fields = Omit<Refused, "type">;

export function encodeRefusedFields(writer: ByteWriter, frame: Fields): void {
  writer.string(frame.caller);
  writer.varint(frame.firstSequence);
  writer.varint(frame.count);
  writer.u8(frameRefusals.indexOf(frame.code));
  writer.varint(frame.retryAfterMs);
  writer.string(clipText(frame.detail, limits.maxDetailBytes));
}

export function decodeRefusedFields(reader: ByteReader): Fields {
  return {
    caller: reader.string(limits.maxCallerBytes),
    firstSequence: reader.varint(),
    count: reader.varint(),
    code: decodeIndexed(reader, frameRefusals, "refusal"),
    retryAfterMs: reader.varint(limits.maxDurationMs),
    detail: reader.string(limits.maxDetailBytes),
  };
}

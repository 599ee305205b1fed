import { type ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import { limits } from "./limits.ts";
import { clientFrameNumbers } from "./stream-frames.ts";
import { decodeTrace, encodeTrace, sharedTraces, type TraceContext } from "./trace-context.ts";

/** A frame of a client as it is encoded, under the traces of those who asked for what is in it (see `sharedTraces`). Protocol 9. */
export function encodeTracedFrame(traces: readonly TraceContext[], frame: Uint8Array): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(frame.length + 64 * traces.length);
  const kept = sharedTraces(traces);
  writer.u8(clientFrameNumbers.traced);
  writer.u8(kept.length);
  for (const trace of kept) encodeTrace(writer, trace);
  writer.raw(frame);
  return writer.finish();
}

/** What is behind the number of a traced frame; the frame in it is a view, not decoded. Throws CodecError. */
export function decodeTracedFields(reader: ByteReader, bytes: Uint8Array): { readonly traces: TraceContext[]; readonly frame: Uint8Array } {
  const count = reader.u8();
  if (count === 0 || count > limits.maxTracesPerFrame)
    throw new CodecError(`${count} traces where 1 to ${limits.maxTracesPerFrame} are allowed`);
  const traces = Array.from({ length: count }, () => decodeTrace(reader));
  const frame = bytes.subarray(reader.position);
  // Nothing that is said before the protocol is agreed on, and nothing under two layers of traces.
  const [number] = frame;
  if (number === undefined || number === clientFrameNumbers.hello || number === clientFrameNumbers.traced)
    throw new CodecError(`no frame that has a trace: ${number ?? "none"}`);
  return { traces, frame };
}

import type { CachedRecord, HolderMessage, HomeMessage } from "./coherence-messages.ts";

/** Numbers and lengths of one message. */
const fixedBytes = 128;
/** A character of a string takes so many at most. */
const perCharacter = 3;

/** What a message takes in a frame at most, without encoding it: whoever packs several must know before. */
export function mostBytesOf(message: HolderMessage | HomeMessage): number {
  let bytes = fixedBytes;
  if ("line" in message) bytes += perCharacter * message.line.length;
  switch (message.type) {
    case "write":
      return bytes + message.command.length;
    case "data":
      return bytes + bytesOfRecord(message.record);
    case "done":
      return bytes + bytesOfRecord(message.record) + message.outcome.answer.length;
    case "inv": {
      const { scope } = message;
      if (scope.type === "line") return bytes + perCharacter * scope.line.length;
      if (scope.type === "namespace") return bytes + perCharacter * (scope.namespace.length + (scope.tag?.length ?? 0));
      return bytes;
    }
    default:
      return bytes;
  }
}

function bytesOfRecord({ tags, value }: CachedRecord): number {
  let bytes = value?.length ?? 0;
  for (const tag of tags) bytes += perCharacter * (1 + tag.length);
  return bytes;
}

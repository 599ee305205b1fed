import type { ByteReader, ByteWriter } from "./bytes.ts";
import { cacheModes } from "./cache-commands.ts";
import { decodeHolderMessage, decodeHomeMessage, encodeHolderMessage, encodeHomeMessage } from "./coherence-codec.ts";
import type { HolderMessage, HomeMessage } from "./coherence-messages.ts";
import { CodecError } from "./codec-error.ts";
import { decodeDuration, decodeFlag, decodeIndexed } from "./fields.ts";
import { limits } from "./limits.ts";
import {
  type CacheInvalidated,
  type CacheLoaded,
  type InvalidateCache,
  type LoadCached,
  loadingWays,
  namespaceRefusals,
  type NamespaceResolved,
  type ResolveNamespace,
  type ToHolders,
  type ToHomes,
} from "./stream-cache-frames.ts";
import { clientFrameNumbers, serverFrameNumbers } from "./stream-frames.ts";
import { clipText } from "./text.ts";

/** Frames of protocols 4 and 5 (cached values). Called by stream-codec.ts alone. */
type CacheClientFrame = ToHomes | ResolveNamespace | InvalidateCache | LoadCached;
type CacheServerFrame = ToHolders | NamespaceResolved | CacheInvalidated | CacheLoaded;

export function encodeCacheClientFields(writer: ByteWriter, frame: CacheClientFrame): void {
  if (frame.type === "to-homes") {
    writer.string(frame.program);
    for (const { group, message } of frame.messages) {
      writer.varint(group);
      encodeHolderMessage(writer, message);
    }
    return;
  }
  writer.varint(frame.request);
  writer.string(frame.name);
  if (frame.type === "resolve-namespace") return;
  if (frame.type === "load-cached") {
    writer.string(frame.key);
    writer.u8(loadingWays.indexOf(frame.how));
  } else {
    writer.string(frame.tag);
  }
  writer.varint(frame.timeoutMs);
}

/** Null = no frame of the cache has this number. Commands in messages are views. */
export function decodeCacheClientFields(reader: ByteReader, number: number): CacheClientFrame | null {
  switch (number) {
    case clientFrameNumbers["to-homes"]: {
      const program = reader.string(limits.maxCallerBytes, 1);
      const messages: { readonly group: number; readonly message: HolderMessage }[] = [];
      while (reader.remaining > 0) messages.push({ group: reader.varint(limits.maxShards), message: decodeHolderMessage(reader) });
      return { type: "to-homes", program, messages };
    }
    case clientFrameNumbers["resolve-namespace"]:
      return { type: "resolve-namespace", request: reader.varint(), name: reader.string(limits.maxNameBytes) };
    case clientFrameNumbers["invalidate-cache"]:
      return {
        type: "invalidate-cache",
        request: reader.varint(),
        name: reader.string(limits.maxNameBytes),
        tag: reader.string(limits.maxTagBytes),
        timeoutMs: decodeDuration(reader),
      };
    case clientFrameNumbers["load-cached"]:
      return {
        type: "load-cached",
        request: reader.varint(),
        name: reader.string(limits.maxNameBytes),
        key: reader.string(limits.maxCacheKeyBytes),
        how: decodeIndexed(reader, loadingWays, "way of loading"),
        timeoutMs: decodeDuration(reader),
      };
    default:
      return null;
  }
}

export function encodeCacheServerFields(writer: ByteWriter, frame: CacheServerFrame): void {
  switch (frame.type) {
    case "to-holders":
      for (const { group, message } of frame.messages) {
        writer.varint(group);
        encodeHomeMessage(writer, message);
      }
      return;
    case "namespace-resolved":
      writer.varint(frame.request);
      writer.string(frame.name);
      writer.varint(frame.namespace);
      writer.varint(frame.version);
      writer.u8(cacheModes.indexOf(frame.mode));
      writer.varint(frame.staleMs);
      break;
    case "cache-invalidated":
    case "cache-loaded":
      writer.varint(frame.request);
      break;
  }
  if (frame.type !== "cache-loaded") writer.varint(frame.shards);
  writer.u8(namespaceRefusals.indexOf(frame.refusal));
  writer.string(clipText(frame.detail, limits.maxDetailBytes));
  if (frame.type !== "namespace-resolved") return;
  const { compressOver, hasOrigin, revalidateMs } = frame;
  // Of protocol 5, and then of 7: whoever speaks an older one is told of none.
  if (compressOver === 0 && !hasOrigin && revalidateMs === 0) return;
  writer.varint(compressOver);
  writer.u8(hasOrigin ? 1 : 0);
  if (revalidateMs > 0) writer.varint(revalidateMs);
}

/** As `decodeCacheClientFields`. Values are views. */
export function decodeCacheServerFields(reader: ByteReader, number: number): CacheServerFrame | null {
  switch (number) {
    case serverFrameNumbers["to-holders"]: {
      const messages: { readonly group: number; readonly message: HomeMessage }[] = [];
      while (reader.remaining > 0) messages.push({ group: reader.varint(limits.maxShards), message: decodeHomeMessage(reader) });
      return { type: "to-holders", messages };
    }
    case serverFrameNumbers["namespace-resolved"]:
      return {
        type: "namespace-resolved",
        request: reader.varint(),
        name: reader.string(limits.maxNameBytes),
        namespace: reader.varint(),
        version: reader.varint(),
        mode: decodeIndexed(reader, cacheModes, "mode"),
        staleMs: decodeDuration(reader),
        ...decodeEnd(reader),
        compressOver: reader.remaining > 0 ? reader.varint() : 0,
        hasOrigin: reader.remaining > 0 && decodeFlag(reader),
        revalidateMs: decodeRevalidation(reader),
      };
    case serverFrameNumbers["cache-invalidated"]:
      return { type: "cache-invalidated", request: reader.varint(), ...decodeEnd(reader) };
    case serverFrameNumbers["cache-loaded"]:
      return { type: "cache-loaded", request: reader.varint(), ...decodeRefusal(reader) };
    default:
      return null;
  }
}

/** Left out = 0. */
function decodeRevalidation(reader: ByteReader): number {
  if (reader.remaining === 0) return 0;
  const revalidateMs = decodeDuration(reader);
  if (revalidateMs === 0) throw new CodecError("a revalidation after no time is left out");
  return revalidateMs;
}

function decodeEnd(reader: ByteReader): Pick<CacheInvalidated, "shards" | "refusal" | "detail"> {
  return {
    shards: reader.varint(limits.maxShards),
    ...decodeRefusal(reader),
  };
}

function decodeRefusal(reader: ByteReader): Pick<CacheInvalidated, "refusal" | "detail"> {
  return { refusal: decodeIndexed(reader, namespaceRefusals, "refusal"), detail: reader.string(limits.maxDetailBytes) };
}

import type { ByteReader, ByteWriter } from "./bytes.ts";
import { type CacheResult, cacheConflicts, cacheFullThings, cacheResultNumbers } from "./cache-results.ts";
import { CodecError } from "./codec-error.ts";
import { decodeIndexed } from "./fields.ts";

/** What an increment came to: absent, at or above zero, below. */
const numberSigns = ["none", "positive", "negative"] as const;

/** Appends `result`: its number, then its fields. */
export function encodeCacheResult(writer: ByteWriter, result: CacheResult): void {
  writer.u8(cacheResultNumbers[result.type]);
  switch (result.type) {
    case "cache-written": {
      writer.varint(result.version);
      const { number } = result;
      writer.u8(number === null ? 0 : number < 0 ? 2 : 1);
      if (number !== null) writer.varint(Math.abs(number));
      return;
    }
    case "cache-conflict":
      writer.u8(cacheConflicts.indexOf(result.reason));
      return writer.varint(result.version);
    case "cache-full":
      writer.u8(cacheFullThings.indexOf(result.limit));
      return writer.varint(result.max);
    case "cache-not-a-number":
    case "cache-unloaded":
      return;
    case "cache-deleted":
    case "cache-invalidated":
      return writer.varint(result.version);
    case "no-namespace":
      writer.varint(result.namespace);
      return writer.varint(result.version);
  }
}

/** Reads the rest of a result of this number; null where that is none of the cache's. Throws CodecError. */
export function decodeCacheResult(number: number, reader: ByteReader): CacheResult | null {
  switch (number) {
    case cacheResultNumbers["cache-written"]: {
      const version = reader.varint();
      const sign = decodeIndexed(reader, numberSigns, "sign");
      if (sign === "none") return { type: "cache-written", version, number: null };
      const size = reader.varint();
      if (sign === "negative" && size === 0) throw new CodecError("zero with a sign");
      return { type: "cache-written", version, number: sign === "negative" ? -size : size };
    }
    case cacheResultNumbers["cache-conflict"]:
      return { type: "cache-conflict", reason: decodeIndexed(reader, cacheConflicts, "conflict"), version: reader.varint() };
    case cacheResultNumbers["cache-full"]:
      return { type: "cache-full", limit: decodeIndexed(reader, cacheFullThings, "full thing"), max: reader.varint() };
    case cacheResultNumbers["cache-not-a-number"]:
      return { type: "cache-not-a-number" };
    case cacheResultNumbers["cache-unloaded"]:
      return { type: "cache-unloaded" };
    case cacheResultNumbers["cache-deleted"]:
      return { type: "cache-deleted", version: reader.varint() };
    case cacheResultNumbers["cache-invalidated"]:
      return { type: "cache-invalidated", version: reader.varint() };
    case cacheResultNumbers["no-namespace"]:
      return { type: "no-namespace", namespace: reader.varint(), version: reader.varint() };
    default:
      return null;
  }
}

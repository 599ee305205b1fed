import type { CachedRecord } from "@trivet/wire";

export { lineName, namespaceOf } from "@trivet/wire";
export type {
  CachedRecord,
  Grant,
  HolderId,
  HolderMessage,
  HomeMessage,
  LineName,
  RefusalOfLease,
  Scope,
  Withdrawal,
  WriteOutcome,
} from "@trivet/wire";

/** Nothing is there, and nothing is known of what was. */
export const nothingRecorded: CachedRecord = { version: 0, value: null, tags: [], ttlMs: 0, asOf: 0 };

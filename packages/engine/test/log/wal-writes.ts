import { groupId, logIndex, term } from "@trivet/core";
import type { Entry, GroupId, HardState } from "@trivet/core";
import type { Floor, WalApi } from "@trivet/engine";
import { expect } from "vitest";
import { membershipOf } from "./wal-rig.ts";

export const system: GroupId = groupId(0);
export const shard: GroupId = groupId(3);
export const entry = (index: number, t = 1, size = 10): Entry => ({
  index: logIndex(index),
  term: term(t),
  kind: "command",
  payload: new Uint8Array(size).fill(index),
});
export const floor = (group: GroupId, index: number, t = 1, keepFrom = index + 1): Floor => ({
  group,
  index: logIndex(index),
  term: term(t),
  membership: membershipOf("a", "b"),
  membershipIndex: logIndex(0),
  keepFrom: logIndex(keepFrom),
});

export interface Asked {
  durable: boolean;
}

export function append(
  wal: WalApi,
  group: GroupId,
  entries: readonly Entry[],
  options: { truncateFrom?: number; commit?: number; hardState?: HardState } = {},
): Asked {
  const asked: Asked = { durable: false };
  const { truncateFrom = 0, commit = 0, hardState = null } = options;
  wal.write({ group, hardState, truncateFrom: logIndex(truncateFrom), append: entries, commit: logIndex(commit) }, () => {
    expect(asked.durable).toBe(false);
    asked.durable = true;
  });
  return asked;
}

export const indexes = (entries: readonly Entry[] | undefined): number[] => (entries ?? []).map(({ index }) => index);

import { type Entry, type GroupId, groupId, type HardState, logIndex, type Membership, nodeId, type Prng, term } from "@trivet/core";
import type { Floor, RecoveredGroup, WalWrite } from "@trivet/engine";

export type LogOperation =
  | { readonly type: "write"; readonly write: WalWrite }
  | { readonly type: "floor"; readonly floor: Floor }
  | { readonly type: "installed"; readonly floor: Floor; readonly keepSuffix: boolean };

/** What one group's log says after some operations. */
export interface LogModelGroup {
  readonly hardState: HardState;
  readonly floor: Floor | null;
  /** Behind the floor. */
  readonly entries: readonly Entry[];
  readonly commit: number;
}
export type LogModel = ReadonlyMap<GroupId, LogModelGroup>;

const membership: Membership = { voters: [nodeId("a")], outgoing: [], learners: [], learnersNext: [], autoLeave: false };
const fresh: LogModelGroup = { hardState: { term: term(0), vote: null }, floor: null, entries: [], commit: 0 };
const groups: readonly GroupId[] = [groupId(0), groupId(1)];

export const groupOf = (model: LogModel, group: GroupId): LogModelGroup => model.get(group) ?? fresh;
const lastIndex = (group: LogModelGroup): number => group.entries.at(-1)?.index ?? group.floor?.index ?? 0;

/** The model after one more operation. */
export function advance(model: LogModel, operation: LogOperation): LogModel {
  const group = operation.type === "write" ? operation.write.group : operation.floor.group;
  const before = groupOf(model, group);
  const next = new Map(model);
  if (operation.type === "write") {
    const { hardState, truncateFrom, append, commit } = operation.write;
    const cut = Math.min(truncateFrom === 0 ? Infinity : truncateFrom, append[0]?.index ?? Infinity);
    const entries = [...before.entries.filter((entry) => entry.index < cut), ...append];
    next.set(group, { ...before, hardState: hardState ?? before.hardState, entries, commit });
  } else if (operation.type === "floor") {
    const { floor } = operation;
    next.set(group, { ...before, floor, entries: before.entries.filter((entry) => entry.index > floor.index) });
  } else {
    const { floor, keepSuffix } = operation;
    const agrees = keepSuffix && before.entries.some((entry) => entry.index === floor.index && entry.term === floor.term);
    const entries = agrees ? before.entries.filter((entry) => entry.index > floor.index) : [];
    next.set(group, { ...before, floor, entries, commit: Math.max(before.commit, floor.index) });
  }
  return next;
}

/** Something a correct Raft could ask for next. */
export function invent(model: LogModel, prng: Prng, serial: number): LogOperation {
  const group = prng.pick(groups);
  const state = groupOf(model, group);
  const last = lastIndex(state);
  const floorIndex = state.floor?.index ?? 0;
  const roll = prng.next();
  if (roll < 0.14 && state.commit > floorIndex) {
    const index = prng.between(floorIndex + 1, state.commit);
    const at = state.entries.find((entry) => entry.index === index);
    if (at !== undefined) return { type: "floor", floor: floorAt(group, index, at.term, prng.between(Math.max(1, index - 2), index + 1)) };
  }
  if (roll < 0.19) {
    const index = prng.between(state.commit + 1, last + 4);
    const at = state.entries.find((entry) => entry.index === index);
    const keepSuffix = at !== undefined && prng.chance(0.5);
    const floor = floorAt(group, index, keepSuffix ? at.term : state.hardState.term + 1, index + 1);
    return { type: "installed", floor, keepSuffix };
  }
  const vote = prng.chance(0.5) ? nodeId(prng.pick(["a", "b"])) : null;
  const hardState = prng.chance(0.35) ? { term: term(state.hardState.term + 1), vote } : null;
  const now = Math.max(1, hardState?.term ?? state.hardState.term, state.entries.at(-1)?.term ?? state.floor?.term ?? 0);
  const truncates = last > state.commit && prng.chance(0.25);
  const from = truncates ? prng.between(state.commit + 1, last) : last + 1;
  const count = prng.between(truncates || hardState !== null ? 0 : 1, 3);
  const append = Array.from({ length: count }, (_, i) => entryAt(from + i, now, serial * 4 + i, prng));
  const end = truncates || count > 0 ? from + count - 1 : last;
  const commit = logIndex(prng.between(state.commit, Math.max(state.commit, end)));
  return { type: "write", write: { group, hardState, truncateFrom: logIndex(truncates ? from : 0), append, commit } };
}

/** Bytes that differ from all others and hold no zero, so that a lost sector shows. */
function entryAt(index: number, at: number, serial: number, prng: Prng): Entry {
  const size = prng.chance(0.2) ? prng.between(600, 1_800) : prng.below(40);
  const payload = Uint8Array.from({ length: size }, (_, i) => ((serial * 31 + i) % 255) + 1);
  return { index: logIndex(index), term: term(at), kind: "command", payload };
}

function floorAt(group: GroupId, index: number, at: number, keepFrom: number): Floor {
  return { group, index: logIndex(index), term: term(at), membership, membershipIndex: logIndex(0), keepFrom: logIndex(keepFrom) };
}

/** Do the recovered entries and floor say what the model says? */
export function sameLog(recovered: ReadonlyMap<GroupId, RecoveredGroup>, model: LogModel): boolean {
  return groups.every((group) => {
    const state = groupOf(model, group);
    const found = recovered.get(group);
    const floorIndex = found?.floor?.index ?? 0;
    if (floorIndex !== (state.floor?.index ?? 0) || (found?.floor?.term ?? 0) !== (state.floor?.term ?? 0)) return false;
    const entries = (found?.entries ?? []).filter((entry) => entry.index > floorIndex);
    return entries.length === state.entries.length && entries.every((entry, i) => sameBytes(entry, state.entries[i]));
  });
}

export function sameHardState(recovered: ReadonlyMap<GroupId, RecoveredGroup>, model: LogModel): boolean {
  return groups.every((group) => {
    const { hardState } = groupOf(model, group);
    const found = recovered.get(group)?.hardState ?? fresh.hardState;
    return found.term === hardState.term && found.vote === hardState.vote;
  });
}

/** The model that goes on from what recovery found. */
export function adopt(recovered: ReadonlyMap<GroupId, RecoveredGroup>): LogModel {
  return new Map(
    [...recovered].map(([group, { hardState, floor, entries, commit }]) => {
      const behind = entries.filter((entry) => entry.index > (floor?.index ?? 0));
      const last = behind.at(-1)?.index ?? floor?.index ?? 0;
      return [group, { hardState, floor, entries: behind, commit: Math.min(Math.max(commit, floor?.index ?? 0), last) }];
    }),
  );
}

function sameBytes(a: Entry, b: Entry | undefined): boolean {
  if (b === undefined || a.index !== b.index || a.term !== b.term || a.payload.length !== b.payload.length) return false;
  return a.payload.every((byte, i) => byte === b.payload[i]);
}

import { type GroupId, jointVote, type PlacementView } from "@trivet/core";
import type { Copy } from "./survivors.ts";

/** What is taken of a group. */
export interface Choice {
  readonly group: GroupId;
  /** Whose log; null = no directory has anything of the group. */
  readonly log: Copy | null;
  /** Whose state, which that log goes on from. */
  readonly state: Copy | null;
  /** A log that goes further, of a copy whose state is in doubt, and that goes on from no sound one's. */
  readonly leftOut: Copy | null;
  /** Of the group's own configuration: outgoing ones, too, while it is being changed. */
  readonly voters: readonly string[];
  /** Of those, whose copies are here and whole. */
  readonly whole: readonly string[];
  /** By itself the group goes on, and loses nothing. */
  readonly hasMajority: boolean;
}

/** Of each group the log that Raft would elect, and the state of a sound copy, of its own where that is one. */
export function chooseCopies(group: GroupId, copies: readonly Copy[], placement: PlacementView | null): Choice {
  const ranked = [...copies].sort(byLog);
  const [longest = null] = ranked;
  const taken = takenOf(group, longest, ranked);
  if (longest === null) {
    const voters = placement?.shards[group - 1] ?? [];
    return { group, ...taken, voters, whole: [], hasMajority: false };
  }
  const { membership } = longest;
  const here = copies.filter(({ isWhole }) => isWhole).map(({ survivor }) => survivor.node);
  const hasMajority = membership.voters.length > 0 && jointVote(membership, (node) => here.includes(node)) === "won";
  const voters = [...new Set([...membership.voters, ...membership.outgoing])];
  return { group, ...taken, voters, whole: voters.filter((node) => here.includes(node)), hasMajority };
}

function takenOf(group: GroupId, longest: Copy | null, ranked: readonly Copy[]): Pick<Choice, "log" | "state" | "leftOut"> {
  if (longest === null || !longest.isInDoubt) return { log: longest, state: longest, leftOut: null };
  const sound = ranked.filter(({ isInDoubt }) => !isInDoubt);
  const goesOn = sound.find(({ end }) => longest.survivor.entriesBehind(group, end.state) !== null);
  if (goesOn !== undefined) return { log: longest, state: goesOn, leftOut: null };
  const [other] = sound;
  return other === undefined ? { log: longest, state: longest, leftOut: null } : { log: other, state: other, leftOut: longest };
}

/** As Raft compares logs: the last term decides, then the length. Of equal ones a sound and whole copy. */
function byLog(a: Copy, b: Copy): number {
  return b.end.term - a.end.term || b.end.index - a.end.index || flaws(a) - flaws(b);
}

function flaws({ isInDoubt, isWhole }: Copy): number {
  return Number(isInDoubt) * 2 + Number(!isWhole);
}

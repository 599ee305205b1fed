import type { LogIndex } from "../kernel/brand.ts";
import { invariant } from "../kernel/assert.ts";
import type { Membership } from "./types.ts";

export interface MembershipAt {
  readonly index: LogIndex;
  readonly membership: Membership;
}

/**
 * The configurations of the log: the newest is in force from the moment its entry is *appended* (thesis §4.1), and truncation brings
 * the one before it back (mutant 22). Committing plays no part.
 */
export class MembershipHistory {
  private readonly stack: MembershipAt[];

  constructor(index: LogIndex, membership: Membership) {
    this.stack = [{ index, membership }];
  }

  get current(): MembershipAt {
    const top = this.stack.at(-1);
    invariant(top !== undefined, "raft-membership-known");
    return top;
  }

  /** The configuration in force at `index`, as a snapshot taken there must name it (mutant 23). */
  at(index: LogIndex): MembershipAt {
    return this.stack.findLast((entry) => entry.index <= index) ?? this.oldest;
  }

  /** That one, and all later ones. */
  from(index: LogIndex): readonly MembershipAt[] {
    const first = this.stack.findLastIndex((entry) => entry.index <= index);
    return this.stack.slice(Math.max(0, first));
  }

  append(index: LogIndex, membership: Membership): void {
    invariant(index > this.current.index, "raft-membership-ordered", () => `${index} after ${this.current.index}`);
    this.stack.push({ index, membership });
  }

  /** Returns whether the configuration in force changed. */
  truncatedFrom(from: LogIndex): boolean {
    const before = this.stack.length;
    while (this.stack.length > 1 && this.current.index >= from) this.stack.pop();
    return this.stack.length !== before;
  }

  /** Forgets configurations that no index at or above `index` needs. */
  compactedTo(index: LogIndex): void {
    while (this.stack.length > 1 && (this.stack[1]?.index ?? Infinity) <= index) this.stack.shift();
  }

  /** A snapshot took the place of everything up to `upTo`; later entries stay when the log suffix did. */
  installed(index: LogIndex, membership: Membership, upTo: LogIndex, keptSuffix: boolean): void {
    const later = keptSuffix ? this.stack.filter((entry) => entry.index > upTo) : [];
    this.stack.length = 0;
    this.stack.push({ index, membership }, ...later);
  }

  private get oldest(): MembershipAt {
    const first = this.stack[0];
    invariant(first !== undefined, "raft-membership-known");
    return first;
  }
}

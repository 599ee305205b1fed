import type { Membership } from "@trivet/core";

export interface JoinRequest {
  readonly node: string;
  readonly storage: string;
  readonly url: string;
  readonly roles: string;
  readonly voter: boolean;
  /** Undefined = a version of before levels. */
  readonly level?: number;
}
export interface MemberRequest {
  readonly add?: readonly { readonly node: string; readonly url: string; readonly voter: boolean }[];
  readonly remove?: readonly string[];
  /** Give these known nodes, whose disk was lost, a fresh start under the same id; alone, not together with the others. */
  readonly replace?: readonly string[];
  /** Take all shards from these members, or let them have some again (rule G4); alone. */
  readonly drain?: { readonly nodes: readonly string[]; readonly draining: boolean };
}
export type MemberAnswer = { readonly ok: true; readonly membership: Membership } | { readonly ok: false; readonly reason: string };

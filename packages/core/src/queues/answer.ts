import type { Result, ShardResult } from "@trivet/wire";

/** A shard's answer: one of its own, or that the command was not for it. */
export type ShardAnswer = ShardResult | Extract<Result, { readonly type: "malformed" | "refused" }>;

/** What is remembered of an answer (rule X3): all of it, but of a hand-out only which messages it named. */
export type RememberedAnswer =
  | Exclude<ShardAnswer, { readonly type: "handed-out" }>
  | {
      readonly type: "handed-out";
      readonly leaseMs: number;
      readonly more: boolean;
      /** Of the group; 0 = not known, of an answer kept by a version before. */
      readonly incarnation: number;
      readonly messages: readonly { readonly sequence: number; readonly acquired: number }[];
    };

import type { Result, ShardResult } from "@trivet/wire";

/** A shard's answer: one of its own, or that the command was not for it. */
export type ShardAnswer = ShardResult | Extract<Result, { readonly type: "malformed" | "refused" }>;

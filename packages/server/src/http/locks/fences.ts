import type { lockRoutes } from "@trivet/contract";
import { ok } from "../answer.ts";
import { isFailure, read, type Some } from "../calls.ts";
import { checkNumbers, numberOf } from "./lock-calls.ts";
import { decimal } from "../outcomes.ts";

export const fenceHandlers: Some<Extract<keyof typeof lockRoutes, "checkFence">> = {
  /** A linearizable read: the holder at some instant between the request and the answer (rule K5). */
  checkFence: async ({ body }, context) => {
    const bad = checkNumbers({ fence: body.fence });
    if (bad !== null) return bad;
    const fence = numberOf(body.fence);
    const checked = await read(context, "linearizable", (view) => ({
      valid: view.isHeld(body.name, fence),
      name: body.name,
      fence: decimal(fence),
      last_fence: decimal(view.lastFence),
    }));
    if (isFailure(checked)) return checked;
    if (!checked.valid) context.metrics.count("stale_token_rejected_total", 1);
    return ok(checked);
  },
};

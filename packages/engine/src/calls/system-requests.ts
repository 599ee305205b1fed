import { formatRequestId, type RequestKey } from "@trivet/wire";
import type { GroupTime } from "../groups/group-time.ts";
import { requestAnswersKeptMs, requestTimeoutMs } from "../base/limits.ts";
import type { NodeApi, RequestOutcome } from "../node/node-api.ts";

/** Rule X3 for a request of group 0. */
export function askSystemRequest(
  api: Pick<NodeApi, "read" | "submit">,
  time: GroupTime,
  key: RequestKey,
  done: (outcome: RequestOutcome) => void,
): void {
  api.read("linearizable", requestTimeoutMs, (ready) => {
    if (ready.type !== "ready") return done(ready);
    const found = ready.state.lookup(key.caller, key.sequence);
    if (found === "pending") return done({ type: "pending" });
    if (found !== "unknown") return done({ type: "answered", result: found, requestId: formatRequestId(key) });
    const now = time.now();
    if (now > key.notAfter + requestAnswersKeptMs) return done({ type: "gone" });
    if (ready.state.groupTime > key.notAfter) return done({ type: "not-executed" });
    if (now <= key.notAfter) return done({ type: "pending" });
    // Past not-after by the clock, but no entry has said so yet: one that does makes the answer final.
    api.submit({ type: "nothing" }, { timeoutMs: requestTimeoutMs }, (outcome) =>
      outcome.type === "answered" ? askSystemRequest(api, time, key, done) : done({ type: "pending" }),
    );
  });
}

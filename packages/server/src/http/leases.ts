import type { Answer, Failure } from "./answer.ts";
import { isFailure, read } from "./calls.ts";
import type { HttpContext } from "./context.ts";
import { numberOf } from "./locks/lock-calls.ts";
import type { HolderJson } from "./outcomes.ts";

/** Nobody waits longer for what is information only. */
const longestMs = 500;

/**
 * Asks the leader for the leases that this node does not know, for all holders in one question. They stay null when it does not answer:
 * a lease left is shown to people, and nothing may depend on it.
 */
export function withLeases<Holder extends HolderJson>(context: HttpContext, holders: readonly Holder[]): Promise<readonly Holder[]> {
  const unknown = holders.filter((holder) => holder.expires_in_ms === null);
  if (unknown.length === 0) return Promise.resolve(holders);
  const leases = unknown.map((holder) =>
    holder.session_id === null
      ? { kind: "grant" as const, id: numberOf(holder.fence) }
      : { kind: "session" as const, id: numberOf(holder.session_id) },
  );
  return new Promise((resolve) => {
    context.node.leasesLeft(leases, Math.min(longestMs, context.config.http.requestTimeoutMs), (left) => {
      const known = new Map(unknown.map((holder, index) => [holder, left[index] ?? null]));
      resolve(
        holders.map((holder) => {
          const ms = known.get(holder) ?? null;
          return ms === null ? holder : { ...holder, expires_in_ms: Math.max(0, Math.round(ms)) };
        }),
      );
    });
  });
}

/** Fills in the leases of the holders of several locks. */
export async function locksWithLeases<Lock extends { readonly holders: readonly HolderJson[] }>(
  context: HttpContext,
  locks: readonly Lock[],
): Promise<readonly Lock[]> {
  const filled = [
    ...(await withLeases(
      context,
      locks.flatMap((lock) => lock.holders),
    )),
  ];
  return locks.map((lock) => ({ ...lock, holders: filled.splice(0, lock.holders.length) }));
}

/** A fence above all there ever were: not an old grant's, so nothing was released, expired or replaced. */
async function neverGranted(context: HttpContext, answer: Failure): Promise<Failure> {
  const { name, fence } = answer.values ?? {};
  // The command was applied here before it was answered: this node knows every fence up to it.
  const last = await read(context, "stale", (view) => view.lastFence);
  if (isFailure(last) || !(Number(fence) > last)) return answer;
  return {
    ...answer,
    detail: `Fence ${fence} is not the fence of the present grant of lock ${name}: it was never granted. Nothing changed.`,
    members: { ...answer.members, next: "Send the fence that your own acquire was answered with." },
  };
}

/** An answer with what its handler could not know at once: leases of the holders that a refusal names, and whether a fence ever was. */
export async function completed(context: HttpContext, answer: Answer): Promise<Answer> {
  if (answer.type === "failure" && answer.code === "stale_fence") return neverGranted(context, answer);
  const holders = answer.type === "failure" ? answer.members?.["holders"] : undefined;
  if (answer.type !== "failure" || !Array.isArray(holders)) return answer;
  return { ...answer, members: { ...answer.members, holders: [...(await withLeases(context, holders as readonly HolderJson[]))] } };
}

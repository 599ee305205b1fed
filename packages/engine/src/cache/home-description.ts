import { type HomeState, nothingRecorded, type QueuedWrite } from "@trivet/core";
import type { LineName } from "@trivet/wire";
import type { ReadValue } from "../shards/worker-protocol.ts";
import type { Directory } from "./copy-reports.ts";
import { nodeOfHolder } from "./holder-ids.ts";

/** What `explain` tells of a line: of the home on this `node` at its time `now`, and of what is stored and waits for an origin. */
export function describe(
  { entries, phase, sessions, term }: HomeState,
  line: LineName,
  { node, now, groupTime }: { readonly node: string; readonly now: number; readonly groupTime: number },
  value: ReadValue | undefined,
): Directory {
  const record = value?.record ?? nothingRecorded;
  const entry = entries.get(line);
  const sharers = [...(entry?.sharers.keys() ?? [])].map((holder) => {
    const session = sessions.get(holder);
    return {
      holder: nodeOfHolder(holder),
      incarnation: session?.incarnation ?? 0,
      leaseLeftMs: Math.max(0, (session?.leaseEnd ?? now) - now),
    };
  });
  const queued = (entry?.queue.length ?? 0) + (entry?.reading.length ?? 0) + (entry?.writing == null ? 0 : 1);
  return {
    home: node,
    term,
    phase: phase === "idle" ? "recovering" : phase,
    version: record.version,
    tags: record.tags,
    ttlMs: record.ttlMs,
    directory: entry?.state ?? "U",
    owner: entry?.owner == null ? null : nodeOfHolder(entry.owner),
    sharers,
    queued,
    waitingFor: [...(entry?.waits.keys() ?? [])].map(nodeOfHolder),
    behind: behindOf(value?.queued, groupTime),
  };
}

function behindOf(queued: QueuedWrite | undefined, groupTime: number): Directory["behind"] {
  if (queued === undefined) return null;
  return { version: queued.version, deleted: queued.value === null, forMs: Math.max(0, groupTime - queued.since) };
}

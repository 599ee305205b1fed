import { invariant } from "../kernel/assert.ts";
import { logIndex, term } from "../kernel/brand.ts";
import { mutant } from "#mutation";
import type { Progress } from "./progress.ts";
import { beginSnapshot } from "./snapshot-send.ts";
import type { Leadership, RaftState } from "./state.ts";

/**
 * Puts together what the leader owes its peers; called when effects are taken, so whatever happened in one turn travels together.
 * A peer that is sent no entries but does not know the commit index learns it at once where somebody waits for it, since the node a client
 * talks to answers from its own apply. Elsewhere it travels with the next entries, or at the next tick: one message less on the way of
 * every lone commit.
 */
export function flushPeers(s: RaftState, leadership: Leadership): void {
  const { newsDue } = leadership;
  leadership.newsDue = false;
  for (const progress of leadership.peers.values()) {
    sendEntries(s, progress);
    if (progress.state === "replicate" && progress.sentCommit < s.commit && (newsDue || progress.awaiting)) {
      const { peer, match } = progress;
      s.out.now.push({ type: "heartbeat", from: s.self, to: peer, term: s.term, commit: s.commit, match, round: 0 });
      progress.sentCommit = s.commit;
    }
  }
}

function sendEntries(s: RaftState, progress: Progress): void {
  if (progress.state === "probe") {
    if (progress.probing || (progress.next > s.log.lastIndex && !progress.askPosition)) return;
    sendAppend(s, progress, true);
    return;
  }
  while (progress.state === "replicate" && progress.next <= s.log.lastIndex && !progress.inflight.full) sendAppend(s, progress, true);
  if (progress.state === "replicate" && progress.askPosition) sendAppend(s, progress, false);
}

function sendAppend(s: RaftState, progress: Progress, withEntries: boolean): void {
  const { config, log } = s;
  const prevIndex = logIndex(progress.next - 1);
  invariant(prevIndex <= log.lastIndex, "raft-next-within-log", () => `${progress.peer}: next ${progress.next}, last ${log.lastIndex}`);
  const prevTerm = log.termAt(prevIndex) ?? (mutant("raft-29-missing-term-is-zero") ? term(0) : null);
  if (prevTerm === null) {
    // The entry before the first to send is compacted away, also when next is the snapshot's own index.
    if (mutant("raft-31-no-snapshot-at-its-index") && progress.next === log.firstIndex - 1) {
      progress.becomeProbe();
      progress.probing = true;
    } else beginSnapshot(s, progress);
    return;
  }
  const entries = withEntries ? log.slice(progress.next, log.lastIndex, config.maxEntriesPerAppend, config.maxBytesPerAppend) : [];
  s.out.now.push({ type: "append", from: s.self, to: progress.peer, term: s.term, prevIndex, prevTerm, entries, commit: s.commit });
  progress.askPosition = false;
  progress.sentCommit = s.commit;
  if (progress.state === "probe") {
    progress.probing = true;
    return;
  }
  if (entries.length === 0) return;
  progress.next = logIndex(progress.next + entries.length);
  let bytes = 0;
  for (const entry of entries) bytes += entry.payload.length;
  progress.inflight.add(logIndex(progress.next - 1), bytes);
}

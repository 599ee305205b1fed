import type { LogIndex, NodeId, RaftMessage } from "@trivet/core";
import { readFrameHeader } from "@trivet/wire";
import type { Clock } from "../ports/clock.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import type { LogSpans } from "./log-spans.ts";

const sentLabels = { direction: "sent" } as const;
const receivedLabels = { direction: "received" } as const;
/** Proposals whose commit is still being timed; beyond it some are not timed. */
const maxTimed = 1024;

/** Counts, times and traces what a Raft group does, from outside: the core knows no metrics. */
export class RaftMeter {
  private readonly clock: Clock;
  private readonly telemetry: Telemetry;
  private readonly spans: LogSpans;
  private readonly proposed: { readonly index: LogIndex; readonly at: number }[] = [];
  private readonly rounds = new Map<NodeId, { readonly round: number; readonly at: number }>();
  private readonly rtt = new Map<NodeId, number>();

  constructor(clock: Clock, telemetry: Telemetry, spans: LogSpans) {
    this.clock = clock;
    this.telemetry = telemetry;
    this.spans = spans;
  }

  sent(message: RaftMessage): void {
    if (message.type !== "heartbeat" || message.round === 0) return;
    this.rounds.set(message.to, { round: message.round, at: this.clock.now() });
    this.telemetry.count("trivet_raft_heartbeats_total", 1, sentLabels);
    if (!this.telemetry.isVerbose) return;
    this.telemetry.log("debug", "raft.heartbeat", `heartbeat ${message.round} to ${message.to}`, { term: message.term, to: message.to });
  }

  received(message: RaftMessage): void {
    if (message.type === "heartbeat" && message.round !== 0) {
      this.telemetry.count("trivet_raft_heartbeats_total", 1, receivedLabels);
      if (!this.telemetry.isVerbose) return;
      this.telemetry.log("debug", "raft.heartbeat", `heartbeat ${message.round} from ${message.from}`, {
        term: message.term,
        from: message.from,
      });
    } else if (message.type === "heartbeat-reply") {
      const round = this.rounds.get(message.from);
      if (round?.round === message.round) this.rtt.set(message.from, this.clock.now() - round.at);
    }
  }

  /** Round trip of the last answered heartbeat, ms; null = none yet. */
  rttMs(peer: NodeId): number | null {
    return this.rtt.get(peer) ?? null;
  }

  /** A frame for the log. */
  taken(frame: Uint8Array): void {
    this.spans.taken(frame);
  }

  /** Each of these became one entry; `index` is that of the last. */
  proposedUpTo(entries: readonly (readonly Uint8Array[])[], index: LogIndex): void {
    if (entries.length === 0) return;
    for (const frames of entries) {
      let commands = 0;
      for (const frame of frames) commands += readFrameHeader(frame).count;
      this.telemetry.observe("trivet_raft_commands_per_entry", commands);
    }
    this.spans.entered(entries, index);
    if (this.proposed.length < maxTimed) this.proposed.push({ index, at: this.clock.now() });
  }

  /** Committed, durable here, and with apply. */
  handedUpTo(index: LogIndex): void {
    this.spans.handed(index);
  }

  appliedUpTo(index: LogIndex, entries: number): void {
    this.spans.applied(index);
    this.telemetry.count("trivet_raft_proposals_applied_total", entries);
    const now = this.clock.now();
    for (;;) {
      const first = this.proposed[0];
      if (first === undefined || first.index > index) return;
      this.proposed.shift();
      this.telemetry.count("trivet_raft_proposals_committed_total", 1);
      this.telemetry.observe("trivet_raft_commit_duration_seconds", (now - first.at) / 1000);
    }
  }

  readServed(askedAt: number): void {
    this.telemetry.observe("trivet_raft_read_index_duration_seconds", (this.clock.now() - askedAt) / 1000);
  }

  /** Leadership changed: what was proposed may never commit, round trips were measured by another leader. */
  reset(): void {
    this.spans.deposed();
    this.proposed.length = 0;
    this.rounds.clear();
    this.rtt.clear();
  }
}

import type { NodeId, SnapshotMeta } from "@trivet/core";
import type { Telemetry } from "../ports/telemetry.ts";
import type { Clock } from "../ports/clock.ts";
import type { SnapshotStoreApi } from "../log/types.ts";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";
import type { GroupHost } from "../groups/group-host.ts";
import { stateChunkBytes, stateSnapshotTimeoutMs } from "../base/limits.ts";

/** A call to a peer; null = no answer. */
export type PeerCall = (to: NodeId, method: string, body: unknown, done: (answer: unknown) => void, timeoutMs?: number) => void;

export interface FetchPorts {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly snapshots: SnapshotStoreApi;
}

/** A chunk that Raft's own transfer wrote gives it the receiver's file for so long. */
const raftGoesFirstMs = 5_000;

interface Transfer {
  readonly from: NodeId;
  readonly meta: SnapshotMeta;
  offset: number;
  complete: boolean;
}

/**
 * Brings the current leader's state to a node whose own is in doubt (rule W7). Raft sends no snapshot to a follower whose log is whole,
 * and must not: replication and acknowledgements go on meanwhile, since the log is not what is wrong. So this node pulls, chunk by chunk.
 */
export class StateFetch {
  private readonly group: GroupHost;
  private readonly call: PeerCall;
  private readonly ports: FetchPorts;
  private transfer: Transfer | null = null;
  private busy = false;
  /** Whose answer is awaited; null = nobody's. */
  private asked: NodeId | null = null;
  private atLeast = 0;
  /** Answers to what was asked before the last `begin` or `abandon` mean nothing. */
  private turn = 0;
  private waitUntil = 0;

  constructor(group: GroupHost, call: PeerCall, ports: FetchPorts) {
    this.group = group;
    this.call = call;
    this.ports = ports;
  }

  /** A snapshot of at least `atLeast`: what this node has applied must not be undone. */
  begin(atLeast: number): void {
    this.abandon();
    this.atLeast = atLeast;
    this.advance();
  }

  abandon(): void {
    this.turn += 1;
    this.transfer = null;
    this.busy = false;
    this.asked = null;
  }

  /** Raft's own transfer uses the same file: it began because this node's log is behind too, and replaces the state as well. */
  raftReceives(): void {
    this.waitUntil = this.ports.clock.now() + raftGoesFirstMs;
    this.abandon();
  }

  /** The next step, if none is under way; called again and again until the state was replaced. */
  advance(): void {
    const leader = this.group.leader();
    // A deposed leader may take long to say no.
    if (this.asked !== null && this.asked !== leader) this.abandon();
    const raftInstalls = this.group.snapshots.installing || this.ports.clock.now() < this.waitUntil;
    if (this.busy || raftInstalls || leader === null || leader === this.group.raft.self) return;
    const { transfer } = this;
    // Another leader has other snapshots.
    if (transfer === null || transfer.from !== leader) this.askSnapshot(leader);
    else if (transfer.complete) this.install(transfer);
    else this.askChunk(transfer);
  }

  private askSnapshot(leader: NodeId): void {
    this.transfer = null;
    this.ask(
      leader,
      "state-snapshot",
      { group: this.group.id, atLeast: this.atLeast },
      (answer) => {
        const meta = parseMeta(answer);
        if (meta === null || meta.index < this.atLeast) return;
        this.transfer = { from: leader, meta, offset: 0, complete: false };
        this.advance();
      },
      stateSnapshotTimeoutMs,
    );
  }

  private askChunk(transfer: Transfer): void {
    const { meta, offset } = transfer;
    this.ask(transfer.from, "state-chunk", { group: this.group.id, id: meta.id, offset }, (answer) => {
      // No answer: the same piece again at the next tick.
      if (answer === null) return;
      const chunk = parseChunk(answer);
      if (chunk === null) {
        this.transfer = null;
        return;
      }
      const turn = this.turn;
      this.busy = true;
      this.ports.snapshots.receive(meta, offset, chunk.data, chunk.end, (durable, failed) => {
        if (turn !== this.turn) return;
        this.busy = false;
        transfer.offset = failed ? 0 : durable;
        transfer.complete = !failed && durable >= meta.bytes;
        // A file that does not verify is asked for again at leisure, not in a loop.
        if (!failed) this.advance();
      });
    });
  }

  private install(transfer: Transfer): void {
    const { group } = this;
    const { meta } = transfer;
    // The log goes on where the snapshot ends, so it must reach there, on this node's own disk (rule W2).
    if (group.applyLimit() < meta.index) return;
    const own = group.raft.termAt(meta.index);
    if (own !== meta.term) {
      this.problem(`the snapshot of ${transfer.from} ends at ${meta.index} in term ${meta.term}, the log has term ${own} there`);
      this.transfer = null;
      return;
    }
    const turn = this.turn;
    this.busy = true;
    group.snapshots.replaceState(meta, (problem) => {
      if (turn !== this.turn) return;
      this.busy = false;
      this.transfer = null;
      if (problem !== null) this.problem(problem);
    });
  }

  private ask(to: NodeId, method: string, body: unknown, done: (answer: unknown) => void, timeoutMs?: number): void {
    const { turn } = this;
    this.busy = true;
    this.asked = to;
    this.call(
      to,
      method,
      body,
      (answer) => {
        if (turn !== this.turn || !this.group.stepping) return;
        this.busy = false;
        this.asked = null;
        done(answer);
      },
      timeoutMs,
    );
  }

  private problem(text: string): void {
    this.ports.telemetry.log("error", "state.refetch-failed", `the state could not be replaced: ${text}; it is tried again`, {
      group: this.group.id,
    });
  }
}

/** The leader's side of `state-snapshot`: a snapshot of its state at or past an index, taken now when there is none. */
export function offerSnapshot(group: GroupHost, snapshots: SnapshotStoreApi, body: unknown, answer: (reply: unknown) => void): void {
  const atLeast = field(body, "atLeast");
  const offer = (): SnapshotMeta | null => {
    const latest = snapshots.latest();
    return group.isLeader && latest !== null && typeof atLeast === "number" && latest.index >= atLeast ? latest : null;
  };
  if (!group.isLeader || offer() !== null) answer(offer());
  else group.snapshots.request(() => answer(offer()));
}

/** The leader's side of `state-chunk`. */
export function offerChunk(snapshots: SnapshotStoreApi, body: unknown, answer: (reply: unknown) => void): void {
  const id = field(body, "id");
  const offset = field(body, "offset");
  if (typeof id !== "string" || typeof offset !== "number" || !Number.isSafeInteger(offset) || offset < 0) {
    answer({ gone: true });
    return;
  }
  snapshots.readBytes(id, offset, stateChunkBytes, (data, end) =>
    answer(data === null ? { gone: true } : { data: encodeBase64(data), end }),
  );
}

function parseMeta(answer: unknown): SnapshotMeta | null {
  const numbers = ["index", "term", "membershipIndex", "bytes"].every((name) => Number.isSafeInteger(field(answer, name)));
  const lists = ["voters", "outgoing", "learners", "learnersNext"].every((name) => Array.isArray(field(field(answer, "membership"), name)));
  return numbers && lists && typeof field(answer, "id") === "string" ? (answer as SnapshotMeta) : null;
}

function parseChunk(answer: unknown): { readonly data: Uint8Array; readonly end: boolean } | null {
  const text = field(answer, "data");
  const data = typeof text === "string" ? decodeBase64(text) : null;
  return data === null ? null : { data, end: field(answer, "end") === true };
}

/** A field of what another host sent; undefined when it is not there. */
export function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;
}

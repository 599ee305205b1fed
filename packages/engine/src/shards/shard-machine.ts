import {
  type ApplySink,
  decodeMembershipPayload,
  type Entry,
  type GroupId,
  type LogIndex,
  logIndex,
  type Membership,
  type SnapshotMeta,
  term,
} from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { GroupMachine, MachineLoader, MachineSnapshot } from "../groups/machine.ts";
import { StatePoints } from "../state-audit/state-audit-points.ts";
import { storeProblem } from "./store-problem.ts";
import { type Failed, type Succeeded, WorkerLine } from "./worker-line.ts";
import type { Applied, ApplyWorker, StateNumber, WireMark, WorkerReply, WorkerRequest } from "./worker-protocol.ts";

export type Opened = Extract<WorkerReply, { readonly type: "opened" }>;

export interface ShardMachineOwner {
  /** What apply said; before the entries count as applied. */
  told(applied: Applied): void;
  /** Attended time of the present leadership at this moment. */
  attendedNow(): number;
  /** Callers that began and ceased to wait here since the last call. */
  takeRoutes(): { readonly routed: readonly string[]; readonly unrouted: readonly string[] };
  /** The worker could not do it. Of `no-space`: the same request is made again after a while. */
  failed(failure: Failed): void;
  retryLater(run: () => void): void;
}

/** A shard's state as its host sees it: in the store of the apply worker. */
export class ShardMachine implements GroupMachine {
  readonly points: StatePoints = new StatePoints();
  private readonly line: WorkerLine;
  private readonly group: GroupId;
  private readonly owner: ShardMachineOwner;
  private hash: string | null;
  private cuts = 0;
  /** Calls of `apply`, and how many of them are answered; and whether the hash is on its way. */
  private applies = 0;
  private answered = 0;
  private asking = false;

  constructor(worker: ApplyWorker, group: GroupId, opened: Opened, owner: ShardMachineOwner) {
    this.line = new WorkerLine(
      worker,
      opened.state,
      (failure) => owner.failed(failure),
      (run) => owner.retryLater(run),
      // What is handed out now is held from now on, not from when space first ran out.
      (request) =>
        request.type === "apply" && !mutant("shard-lease-from-first-try") ? { ...request, attended: owner.attendedNow() } : request,
    );
    this.group = group;
    this.owner = owner;
    this.hash = opened.hash;
  }

  apply(entries: readonly Entry[], _sink: ApplySink, applied: () => void): void {
    this.applies += 1;
    const attended = this.owner.attendedNow();
    const request = { type: "apply" as const, group: this.group, entries, attended, ...this.owner.takeRoutes() };
    this.ask(request, (reply) => {
      if (reply.type !== "applied") return;
      this.answered += 1;
      this.hash = reply.hash;
      for (const [index, hash] of reply.points) this.points.passed(index, () => hash);
      this.owner.told(reply);
      applied();
    });
  }

  beginSnapshot(index: LogIndex): MachineSnapshot {
    const { group } = this;
    const cut = ++this.cuts;
    let ended = false;
    const wanted = (): boolean => !ended;
    this.line.ask({ type: "cut", group, cut, index }, () => {}, wanted);
    const end = (): void => {
      if (ended) return;
      ended = true;
      this.ask({ type: "cut-end", group, cut }, () => {});
    };
    return {
      next: (maxBytes, done) => {
        const take = (reply: Succeeded): void => {
          if (reply.type !== "chunk") return;
          if (reply.chunk === null) end();
          done(reply.chunk);
        };
        this.line.ask({ type: "cut-next", group, cut, maxBytes }, take, wanted);
      },
      abort: end,
    };
  }

  /**
   * Null while it is not known; where nothing is being applied it is asked for then, and known a little later. In the middle of traffic the answer
   * would be of no use when it comes, and it costs: all that is buffered goes to the store for it.
   */
  stateHash(): string | null {
    if (this.hash === null) this.askForHash();
    return this.hash;
  }

  /** What `stateHash` would say, without asking for it. */
  get knownHash(): string | null {
    return this.hash;
  }

  private askForHash(): void {
    if (this.asking || this.answered < this.applies) return;
    this.asking = true;
    const { applies } = this;
    this.ask({ type: "hash", group: this.group }, (reply) => {
      this.asking = false;
      if (reply.type === "hashed" && applies === this.applies) this.hash = reply.hash;
    });
  }

  discard(): void {
    this.line.close();
  }

  /** For everything that the group asks of its worker beside. Nothing is answered once another machine took this one's place. */
  ask(request: WorkerRequest, done: (reply: Succeeded) => void): void {
    this.line.ask(request, done);
  }
}

function problemOf(reply: WorkerReply): Error | null {
  return reply.type === "failed" ? storeProblem("the store of a shard", reply) : null;
}

/**
 * Fills a new store from a snapshot; at its end it takes the place of the one there is (rule W5). `retryLater`: what finds no space is asked again then;
 * null = it is given up.
 */
export function shardLoader(
  worker: ApplyWorker,
  group: GroupId,
  index: number,
  machine: (opened: Opened) => ShardMachine | null,
  retryLater: ((run: () => void) => void) | null,
): MachineLoader {
  let load: StateNumber | null = null;
  let isAborted = false;
  const ask = (request: WorkerRequest, done: (reply: WorkerReply) => void): void => {
    if (isAborted) return;
    worker.call(request, (reply) => {
      const waits = reply.type === "failed" && reply.cause === "no-space" && !mutant("shard-load-stops-without-space");
      if (waits && retryLater !== null) retryLater(() => ask(request, done));
      else done(reply);
    });
  };
  const begin = (then: (problem: Error | null, load: StateNumber) => void): void => {
    if (load !== null) return then(null, load);
    ask({ type: "load", group, index }, (reply) => {
      if (reply.type !== "loading") return then(problemOf(reply) ?? new Error(`unexpected answer ${reply.type}`), 0);
      load = reply.load;
      then(null, load);
    });
  };
  return {
    push: (chunk, done) =>
      begin((problem, number) => {
        if (problem !== null) done(problem);
        else ask({ type: "load-chunk", group, load: number, chunk }, (reply) => done(problemOf(reply)));
      }),
    finish: (done) =>
      begin((problem, number) => {
        if (problem !== null) return done(problem, null);
        ask({ type: "load-end", group, load: number }, (reply) => {
          if (reply.type === "opened") done(null, machine(reply));
          else done(problemOf(reply) ?? new Error(`unexpected answer ${reply.type}`), null);
        });
      }),
    abort: () => {
      isAborted = true;
      if (load !== null) worker.call({ type: "load-abort", group, load }, () => {});
    },
  };
}

/** A store's state as the snapshot that Raft begins with; null = it is empty. */
export function markMeta(group: GroupId, mark: WireMark, founding: Membership): SnapshotMeta | null {
  if (mark.index === 0) return null;
  return {
    id: `store-${group}-${mark.index}`,
    index: logIndex(mark.index),
    term: term(mark.term),
    membership: mark.membership === null ? founding : decodeMembershipPayload(mark.membership),
    membershipIndex: logIndex(mark.membershipIndex),
    bytes: 0,
  };
}

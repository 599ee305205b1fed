import { type AcquireLock, type Command, FrameCursor, type FrameRefusal, type LockMode, type Result, type ServerFrame } from "@trivet/wire";
import { FakeHomes } from "./fake-homes.ts";
import { FakeNode } from "./fake-node.ts";
import { FakeShards } from "./fake-shards.ts";

/** What a node does with a frame of commands. */
export type FramePolicy =
  | "answer"
  /** Executes the frame, answers twice. */
  | "answer-twice"
  /** Drops the connection, the frame unread. */
  | "drop-unread"
  /** Executes the frame and drops the connection instead of answering. */
  | "drop-unanswered"
  /** Executes the frame and says nothing. */
  | "swallow"
  /** Says nothing and does nothing. */
  | "ignore"
  | { readonly refuse: FrameRefusal; readonly retryAfterMs?: number };

interface Waiter {
  readonly caller: string;
  readonly sequence: number;
  readonly command: AcquireLock;
}
interface FakeLock {
  fence: number;
  holder: string | null;
  readonly waiters: Waiter[];
}

/** Group 0 of a pretended cluster: sessions, exclusive locks with a line, and the dedupe table. No consensus, one process. */
export class FakeCluster {
  readonly nodes: FakeNode[] = [];
  term = 1;
  leader: FakeNode | null = null;
  /** Milliseconds since 1970 that the cluster believes. */
  groupTime: () => number = () => Date.now();
  /** Decides about every frame of commands that a node's own policies leave to `answer`. */
  chooseTrouble: (node: FakeNode) => FramePolicy = () => "answer";
  /** The same, of frames of shard commands. */
  chooseShardTrouble: (node: FakeNode) => FramePolicy = () => "answer";
  /** Every command that took effect, in order. */
  readonly executed: Command[] = [];
  readonly sessions = new Set<number>();
  readonly shards = new FakeShards();
  readonly homes = new FakeHomes();
  readonly locks = new Map<string, FakeLock>();
  private readonly answers = new Map<string, Result | "pending">();
  private nextSession = 1;
  private lastFence = 0;

  /** Starts `count` nodes, the first of them the leader. */
  static async start(count: number): Promise<FakeCluster> {
    const cluster = new FakeCluster();
    cluster.shards.hint = (queue, partition) => {
      for (const node of cluster.nodes) node.hint(queue, partition);
    };
    for (let i = 1; i <= count; i++) cluster.nodes.push(await FakeNode.start(cluster, `node${i}`));
    cluster.leader = cluster.nodes[0] ?? null;
    return cluster;
  }

  get urls(): string[] {
    return this.nodes.map((node) => node.url);
  }
  node(index: number): FakeNode {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`no node ${index}`);
    return node;
  }

  /** Makes another node the leader and tells all clients of the others. */
  elect(leader: FakeNode): void {
    this.term++;
    this.leader = leader;
    const news: ServerFrame = { type: "leader-changed", leader: leader.name, leaderUrl: leader.url, term: this.term };
    for (const node of this.nodes) node.tellAll(news);
  }

  async stop(): Promise<void> {
    this.homes.stop();
    await Promise.all(this.nodes.map((node) => node.stop()));
  }

  /** Executes the commands of a frame that are new; answers what has an answer. */
  apply(frame: Uint8Array): void {
    const cursor = new FrameCursor();
    const header = cursor.open(frame);
    while (cursor.next()) {
      const key = `${header.caller}/${cursor.sequence}`;
      const known = this.answers.get(key);
      if (known === undefined) this.execute(header.caller, cursor.sequence, header.notAfter, cursor.decode());
      else if (known !== "pending") this.answer(header.caller, cursor.sequence, known);
    }
  }

  /** Ends a session as its expiry would. */
  expire(session: number): void {
    this.sessions.delete(session);
    for (const [name, lock] of this.locks) if (lock.holder?.startsWith(`${session}/`) === true) this.free(name, lock);
  }

  holderOf(name: string): string | null {
    return this.locks.get(name)?.holder ?? null;
  }
  waitersOf(name: string): number {
    return this.locks.get(name)?.waiters.length ?? 0;
  }

  private answer(caller: string, sequence: number, result: Result): void {
    this.answers.set(`${caller}/${sequence}`, result);
    for (const node of this.nodes) node.answer(caller, sequence, result);
  }

  private execute(caller: string, sequence: number, notAfter: number, command: Command): void {
    if (notAfter < this.groupTime()) return this.answer(caller, sequence, { type: "refused", reason: "past-deadline" });
    this.executed.push(command);
    const result = this.resultOf(caller, sequence, command);
    if (result === null) this.answers.set(`${caller}/${sequence}`, "pending");
    else this.answer(caller, sequence, result);
  }

  private resultOf(caller: string, sequence: number, command: Command): Result | null {
    if ("actor" in command && !this.sessions.has(command.actor.session)) return { type: "session-lost", session: command.actor.session };
    switch (command.type) {
      case "nothing":
        return { type: "done" };
      case "open-session": {
        const session = this.nextSession++;
        this.sessions.add(session);
        return { type: "session-opened", session, ttlMs: command.ttlMs };
      }
      case "close-session":
        this.expire(command.session);
        return { type: "done" };
      case "acquire":
        return this.acquire({ caller, sequence, command });
      case "release":
        return this.release(command.name, command.fence);
      case "release-set":
        for (const { name, fence } of command.locks) this.release(name, fence);
        return { type: "released", fence: 0, remaining: 0, grantedTo: [] };
      case "upgrade":
        return this.upgrade(command.name, command.actor.owner, command.mode);
      case "downgrade":
        return { type: "granted", fence: command.fence, owner: command.actor.owner, mode: command.mode, depth: 1, more: [] };
      case "cancel":
        return this.cancel(command.caller, command.sequence);
      default:
        return { type: "malformed", detail: `${command.type} is not pretended` };
    }
  }

  private acquire(waiter: Waiter): Result | null {
    const { keys, actor, waitMs } = waiter.command;
    const owner = `${actor.session}/${actor.owner}`;
    const busy = keys.find(({ name }) => this.holderOf(name) !== null);
    if (busy === undefined) return this.grant(waiter);
    const lock = this.locks.get(busy.name);
    if (lock?.holder === owner) {
      return { type: "deadlock", cycle: [{ owner: actor.owner, waitsFor: busy.name, mode: busy.mode, heldBy: actor.owner }] };
    }
    if (waitMs === 0) {
      const holder = { owner: lock?.holder ?? "", session: 0, mode: "exclusive", fence: lock?.fence ?? 0 } as const;
      return { type: "busy", waited: false, name: busy.name, holders: [holder], waiters: 0 };
    }
    lock?.waiters.push(waiter);
    return null;
  }

  private upgrade(name: string, owner: string, mode: LockMode): Result {
    const lock = this.locks.get(name);
    if (lock === undefined) return { type: "not-held", name, holders: [] };
    lock.fence = ++this.lastFence;
    return { type: "granted", fence: lock.fence, owner, mode, depth: 1, more: [] };
  }

  private grant({ command }: Waiter): Result {
    const { keys, actor } = command;
    const granted = keys.map(({ name, mode }) => {
      const lock = this.locks.get(name) ?? { fence: 0, holder: null, waiters: [] };
      lock.fence = ++this.lastFence;
      lock.holder = `${actor.session}/${actor.owner}`;
      this.locks.set(name, lock);
      return { name, fence: lock.fence, mode };
    });
    const [first, ...more] = granted;
    if (first === undefined) return { type: "malformed", detail: "no keys" };
    return { type: "granted", fence: first.fence, owner: actor.owner, mode: first.mode, depth: 1, more };
  }

  private release(name: string, fence: number): Result {
    const lock = this.locks.get(name);
    if (lock === undefined || lock.holder === null) return { type: "not-held", name, holders: [] };
    if (lock.fence !== fence) return { type: "stale-fence", name, fence: lock.fence };
    this.free(name, lock);
    return { type: "released", fence, remaining: 0, grantedTo: [] };
  }

  private free(name: string, lock: FakeLock): void {
    lock.holder = null;
    const next = lock.waiters.shift();
    if (next === undefined) this.locks.delete(name);
    else this.answer(next.caller, next.sequence, this.grant(next));
  }

  private cancel(caller: string, sequence: number): Result {
    for (const lock of this.locks.values()) {
      const at = lock.waiters.findIndex((waiter) => waiter.caller === caller && waiter.sequence === sequence);
      if (at < 0) continue;
      lock.waiters.splice(at, 1);
      this.answer(caller, sequence, { type: "cancelled" });
      return { type: "done" };
    }
    const key = `${caller}/${sequence}`;
    if (this.answers.has(key)) return { type: "not-found", what: "wait" };
    this.answers.set(key, { type: "cancelled" });
    return { type: "done" };
  }
}

import type { Command, Result } from "@trivet/wire";

import type { LockHistory, LockOperation } from "./lock-history.ts";
import { type FlowHold, type FlowOwner, LockFlow } from "./lock-flow.ts";
import { StreamCaller } from "./stream-caller.ts";
import type { VirtualClient } from "./virtual-client.ts";

interface Session {
  readonly id: number;
  readonly ttlMs: number;
  /** The client's clock: until then it may rely on the session (counted from the send of the last acknowledged keepalive). */
  deadline: number;
}

/** A client of the SDK's kind: one stream, one session kept alive off the log, several flows that compete as owners of their own. */
export class SessionClient implements FlowOwner {
  readonly client: VirtualClient;
  readonly history: LockHistory;
  readonly contention: number;
  private readonly stream: StreamCaller;
  private readonly flows: LockFlow[];
  private readonly mayStart: () => boolean;
  private budget: number;
  private session: Session | null = null;
  private opening = false;
  private closed = false;
  private winding = false;

  constructor(client: VirtualClient, history: LockHistory, budget: number, contention: number, mayStart: () => boolean) {
    this.client = client;
    this.history = history;
    this.contention = contention;
    this.budget = budget;
    this.mayStart = mayStart;
    this.stream = new StreamCaller(client, history, `${client.name}-lane`);
    const flows = 1 + client.prng.below(3);
    this.flows = Array.from({ length: flows }, (_, i) => new LockFlow(this, () => this.actorOf(`${client.name}/flow-${i}`)));
    client.after(client.prng.below(1_000), () => this.openSession());
  }

  get settled(): boolean {
    return this.closed || !this.client.alive || (this.stream.openCount() === 0 && this.session === null && !this.opening);
  }

  mayAsk(): boolean {
    return this.mayStart();
  }

  spend(): boolean {
    if (this.budget <= 0) return false;
    this.budget -= 1;
    return true;
  }

  send(command: Command, allowedMs: number, done: (result: Result | null) => void): LockOperation {
    return this.stream.submit(command, allowedMs, done);
  }

  trust(hold: FlowHold, _askedAt: number): void {
    const { session } = this;
    if (session !== null) this.history.believe(hold.belief, this.client.world.clock.now(), this.client.virtualTime(session.deadline));
  }

  lostSession(): void {
    if (this.session === null) return;
    this.client.world.totals.add("sessions lost");
    this.endSession();
    if (!this.winding) this.openSession();
  }

  /** Lets go of everything and closes the session. */
  wind(): void {
    this.winding = true;
    const step = (): void => {
      if (this.session === null) return;
      if (this.flows.every((flow) => flow.idle) && this.stream.openCount() === 0) this.closeSession();
      else this.client.after(200, step);
    };
    step();
  }

  private actorOf(owner: string): { session: number; principal: string; owner: string } {
    return { session: this.session?.id ?? 0, principal: this.client.name, owner };
  }

  private openSession(): void {
    if (this.opening || this.session !== null || this.winding) return;
    this.opening = true;
    const { client } = this;
    const ttlMs = 1_500 + client.prng.below(6_000);
    const lockDelayMs = client.prng.chance(0.5) ? 0 : client.prng.below(2_000);
    const sentAt = client.localNow();
    this.send({ type: "open-session", ttlMs, lockDelayMs, principal: client.name, label: "simulated" }, 0, (result) => {
      this.opening = false;
      if (result?.type !== "session-opened") {
        client.after(500, () => this.openSession());
        return;
      }
      // Its TTL counts from the send: a late answer may name a session that has expired already.
      this.session = { id: result.session, ttlMs: result.ttlMs, deadline: sentAt + result.ttlMs };
      client.world.totals.add("sessions opened");
      this.keepAlive(result.session);
      for (const flow of this.flows) flow.start();
      if (this.winding) this.wind();
    });
  }

  private closeSession(): void {
    const { session } = this;
    if (session === null) return;
    this.endSession();
    this.send({ type: "close-session", session: session.id }, 0, () => {
      this.closed = true;
    });
  }

  private endSession(): void {
    this.session = null;
    for (const flow of this.flows) flow.drop();
  }

  /** Off the log (rule L1): the deadline moves only when the answer comes, and counts from the send. */
  private keepAlive(id: number): void {
    const { client } = this;
    const { session } = this;
    if (session === null || session.id !== id) return;
    const machine = this.stream.home ?? client.prng.pick(client.world.machines);
    const sentAt = client.localNow();
    client.call(
      machine,
      (api) => {
        api.keepAlive([id], session.ttlMs, (outcome) => {
          if (outcome.type !== "alive") return;
          client.arrive(machine, () => {
            if (outcome.lost.includes(id)) this.lostIf(id);
            else if (outcome.sessions.includes(id)) this.extend(session, sentAt);
          });
        });
      },
      () => undefined,
    );
    client.after(session.ttlMs / 4 + client.prng.below(100), () => this.keepAlive(id));
  }

  private lostIf(id: number): void {
    if (this.session?.id === id) this.lostSession();
  }

  private extend(session: Session, sentAt: number): void {
    session.deadline = Math.max(session.deadline, sentAt + session.ttlMs);
    if (this.session !== session) return;
    this.client.world.totals.add("keepalives");
    for (const flow of this.flows) for (const hold of flow.holds) this.trust(hold, sentAt);
  }
}

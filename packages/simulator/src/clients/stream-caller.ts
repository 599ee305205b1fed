import type { CallerRoute, NodeApi } from "@trivet/engine";
import { type Command, CommandFrameBuilder, type Result } from "@trivet/wire";

import type { Machine, Running } from "../world/machine.ts";
import type { LockHistory, LockOperation } from "./lock-history.ts";
import { answersMatch } from "./answers.ts";
import type { VirtualClient } from "./virtual-client.ts";

/** Called once: the answer, or null when nothing happened and nothing will. */
export type Answered = (result: Result | null) => void;

interface Open {
  readonly operation: LockOperation;
  readonly frame: Uint8Array;
  readonly done: Answered;
  sentAt: number;
}
interface Answer {
  readonly operation: LockOperation;
  readonly result: Result;
}

const pollMs = 250;
const impatienceMs = 1_500;
/** How long a command stays valid; well above the longest wait. */
const notAfterMs = 45_000;

/**
 * One caller of the batch stream, as the SDK is: numbered commands in frames that are sent again, byte for byte, through any node until
 * they are answered. Sends late duplicates on purpose, also through a second node at the same time.
 */
export class StreamCaller {
  readonly caller: string;
  private readonly client: VirtualClient;
  private readonly history: LockHistory;
  private readonly open = new Map<number, Open>();
  private readonly answers = new Map<number, Answer>();
  private readonly builder = new CommandFrameBuilder();
  private sequence = 0;
  private ackedUpTo = 0;
  private machine: Machine | null = null;
  private running: Running | null = null;
  private route: CallerRoute | null = null;
  private attempt = 0;
  /** Group time minus the client's clock, as told by a node; null until then. */
  private groupTimeOffset: number | null = null;
  private queued: (() => void)[] = [];

  constructor(client: VirtualClient, history: LockHistory, caller: string) {
    this.client = client;
    this.history = history;
    this.caller = caller;
    this.poll();
  }

  /** The node this caller talks to now. */
  get home(): Machine | null {
    return this.machine;
  }

  openCount(): number {
    return this.open.size + this.queued.length;
  }

  /** Sequence of an operation sent by this caller, for cancelling it by identity. */
  submit(command: Command, allowedMs: number, done: Answered): LockOperation {
    const operation = this.history.begin(this.client.name, command, this.client.world.clock.now(), allowedMs);
    operation.caller = this.caller;
    const send = (): void => this.send(operation, done);
    if (this.groupTimeOffset === null) this.queued.push(send);
    else send();
    return operation;
  }

  /** Leaves this node for another: what is open is sent again there. */
  switchNode(): void {
    const { machine } = this;
    this.machine = null;
    this.running = null;
    // Half the time the node notices that the connection is gone, as it does with a clean close.
    const { route } = this;
    if (machine !== null && route !== null && this.client.prng.chance(0.5)) {
      this.client.call(machine, (api) => api.endRoute(this.caller, route), nothing);
    }
    this.connect();
  }

  private send(operation: LockOperation, done: Answered): void {
    this.sequence += 1;
    operation.sequence = this.sequence;
    const groupTime = this.client.localNow() + (this.groupTimeOffset ?? 0);
    this.builder.begin(this.caller, "", Math.floor(groupTime + notAfterMs), this.ackedUpTo, this.sequence);
    this.builder.add(operation.command);
    const open: Open = { operation, frame: this.builder.finish(), done, sentAt: this.client.localNow() };
    this.open.set(this.sequence, open);
    this.transmit(open);
  }

  private transmit(open: Open): void {
    const { machine, attempt } = this;
    if (machine === null) return;
    open.operation.sends += 1;
    open.sentAt = this.client.localNow();
    if (open.operation.sends > 1) this.client.world.totals.add("retries");
    this.client.call(
      machine,
      (api) => this.submitFrame(api, machine, open),
      () => this.lost(attempt),
    );
  }

  private submitFrame(api: NodeApi, machine: Machine, open: Open): void {
    const refusal = api.submitFrame(open.frame);
    if (refusal === null) return;
    this.client.world.totals.add(`refused: ${refusal.code}`);
    this.client.arrive(machine, () => this.retryLater(open, refusal.retryAfterMs));
  }

  /** This node cannot take it now: perhaps another can, which then gets all that is open. */
  private retryLater(open: Open, delayMs: number): void {
    if (this.client.prng.chance(0.3)) {
      this.switchNode();
      return;
    }
    this.client.after(delayMs + this.client.prng.below(200), () => {
      if (this.open.get(open.operation.sequence) === open) this.transmit(open);
    });
  }

  private connect(): void {
    const { client } = this;
    this.attempt += 1;
    const { attempt } = this;
    const machine = client.prng.pick(client.world.machines);
    this.machine = machine;
    this.running = machine.running;
    client.call(
      machine,
      (api) => {
        this.attach(api, machine, attempt);
      },
      () => this.lost(attempt),
    );
  }

  private attach(api: NodeApi, machine: Machine, attempt: number): void {
    const { client } = this;
    const route: CallerRoute = {
      answer: (sequence, result) => client.arrive(machine, () => this.answered(sequence, result)),
      flush: nothing,
      refused: (first, count, reason) => {
        client.arrive(machine, () => {
          for (let sequence = first; sequence < first + count; sequence += 1) {
            const open = this.open.get(sequence);
            if (open !== undefined) this.retryLater(open, reason.retryAfterMs);
          }
        });
      },
    };
    this.route = route;
    api.route(this.caller, route);
    api.read("stale", 1_000, (outcome) => {
      if (outcome.type !== "ready") return;
      const { groupTime } = outcome.state;
      client.arrive(machine, () => {
        if (attempt !== this.attempt) return;
        // Before the first entry there is no group time; then the wall clock is what the first leader will take.
        this.groupTimeOffset = (groupTime > 0 ? groupTime : client.world.wallNow()) - client.localNow();
        for (const run of this.queued.splice(0)) run();
        for (const open of this.open.values()) this.transmit(open);
      });
    });
  }

  private lost(attempt: number): void {
    if (attempt === this.attempt) this.machine = null;
  }

  private poll(): void {
    this.client.after(pollMs + this.client.prng.below(pollMs), () => {
      if (this.machine === null || this.machine.running !== this.running || this.running === null) this.connect();
      else if (this.isImpatient() && this.client.prng.chance(0.4)) this.switchNode();
      this.poll();
    });
  }

  private isImpatient(): boolean {
    if (this.groupTimeOffset === null) return true;
    const now = this.client.localNow();
    for (const open of this.open.values()) {
      const patience = impatienceMs + (this.client.prng.chance(0.9) ? open.operation.allowedMs : 0);
      if (now - open.sentAt > patience) return true;
    }
    return false;
  }

  private answered(sequence: number, result: Result): void {
    const earlier = this.answers.get(sequence);
    if (earlier !== undefined) {
      this.client.world.totals.add("duplicates answered");
      if (!answersMatch(earlier.result, result)) {
        this.client.world.fail(
          "answer-stable",
          `${earlier.operation.id} was answered ${JSON.stringify(earlier.result)} and later ${JSON.stringify(result)}`,
        );
      }
      return;
    }
    const open = this.open.get(sequence);
    if (open === undefined) {
      this.client.world.fail("no-phantom", `${this.caller} got an answer for sequence ${sequence}, which it never sent`);
      return;
    }
    this.open.delete(sequence);
    this.answers.set(sequence, { operation: open.operation, result });
    while (this.answers.has(this.ackedUpTo + 1)) this.ackedUpTo += 1;
    open.operation.ret = this.client.world.clock.now();
    open.operation.result = result;
    this.client.world.answered(open.operation.id, result.type);
    if (this.client.prng.chance(0.08)) this.duplicateLater(open);
    open.done(result);
  }

  /** A copy of an answered frame that was held up somewhere arrives late, here or at another node. */
  private duplicateLater(open: Open): void {
    const { client } = this;
    client.after(client.prng.below(6_000), () => {
      const machine = client.prng.chance(0.5) ? this.machine : client.prng.pick(client.world.machines);
      if (machine === null) return;
      open.operation.sends += 1;
      client.world.totals.add("duplicates sent");
      client.call(
        machine,
        (api) => {
          if (machine !== this.machine) {
            api.route(this.caller, {
              answer: (sequence, result) => client.arrive(machine, () => this.answered(sequence, result)),
              flush: nothing,
              refused: nothing,
            });
          }
          api.submitFrame(open.frame);
        },
        nothing,
      );
    });
  }
}

function nothing(): void {
  // A duplicate or a goodbye that gets lost is no loss.
}

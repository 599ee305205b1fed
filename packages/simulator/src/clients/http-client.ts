import type { NodeApi, Outcome, Submission } from "@trivet/engine";
import type { Actor, Command, LockKey, Result } from "@trivet/wire";

import { answersMatch } from "./answers.ts";
import type { BelievedHold, LockHistory, LockOperation } from "./lock-history.ts";
import { anyPlainName, pickKeys } from "./lock-names.ts";
import type { ReadHistory } from "./read-history.ts";
import type { VirtualClient } from "./virtual-client.ts";

interface Call {
  readonly operation: LockOperation;
  readonly key: string;
  readonly timeoutMs: number;
  readonly done: (result: Result | null) => void;
  attempts: number;
  /** Some attempt may have reached the log. */
  uncertain: boolean;
  ended: boolean;
}

const maxAttempts = 8;

const isLate = (result: Result): boolean => result.type === "refused" && result.reason === "past-deadline";

/**
 * A client of the HTTP API: no session, one idempotency key per call, retries through any node, asks later what became of a request.
 * Each grant has its own lease, which it renews, lets run out, or releases.
 */
export class HttpClient {
  private readonly client: VirtualClient;
  private readonly history: LockHistory;
  private readonly reads: ReadHistory;
  private readonly contention: number;
  private readonly mayStart: () => boolean;
  private budget: number;
  private serial = 0;
  private openCalls = 0;
  private holding = 0;

  constructor(
    client: VirtualClient,
    history: LockHistory,
    reads: ReadHistory,
    budget: number,
    contention: number,
    mayStart: () => boolean,
  ) {
    this.client = client;
    this.history = history;
    this.reads = reads;
    this.contention = contention;
    this.budget = budget;
    this.mayStart = mayStart;
    client.after(200 + client.prng.below(1_000), () => this.next());
    client.after(500 + client.prng.below(1_000), () => this.readLoop());
  }

  get settled(): boolean {
    return !this.client.alive || (this.openCalls === 0 && this.holding === 0);
  }

  private next(): void {
    const { client } = this;
    if (!this.mayStart() || this.budget <= 0) return;
    this.budget -= 1;
    const roll = client.prng.next();
    if (roll < 0.05) this.forceRelease();
    else this.acquire();
  }

  private soon(): void {
    this.client.after(50 + this.client.prng.below(900), () => this.next());
  }

  private actor(): Actor {
    this.serial += 1;
    return { session: 0, principal: this.client.name, owner: `${this.client.name}/call-${this.serial}` };
  }

  private acquire(): void {
    const { client } = this;
    const actor = this.actor();
    const keys = pickKeys(client.prng, this.contention);
    const waitMs = client.prng.chance(0.4) ? 0 : 200 + client.prng.below(4_000);
    const ttlMs = 1_500 + client.prng.below(4_000);
    const askedAt = client.localNow();
    const command: Command = { type: "acquire", actor, keys, ttlMs, waitMs, reentrant: false, anonymous: false };
    this.send(command, waitMs, (result) => {
      if (result?.type !== "granted") {
        this.soon();
        return;
      }
      const [first, ...rest] = keys;
      if (first === undefined) return;
      const fences = new Map<string, number>([[first.name, result.fence]]);
      for (const more of result.more) fences.set(more.name, more.fence);
      for (const key of [first, ...rest]) {
        const fence = fences.get(key.name);
        if (fence !== undefined) this.hold(actor, key, fence, ttlMs, askedAt);
      }
    });
  }

  private hold(actor: Actor, key: LockKey, fence: number, ttlMs: number, askedAt: number): void {
    const { client, history } = this;
    const belief: BelievedHold = {
      client: client.name,
      owner: actor.owner,
      session: 0,
      name: key.name,
      mode: key.mode,
      of: key.of,
      fence,
      believed: [],
      endedAt: null,
    };
    history.holds.push(belief);
    this.holding += 1;
    // Rule K4: the grant's own answer counts only when it came within a third of the lease; else a renewal must be answered first.
    if (client.localNow() - askedAt <= ttlMs / 3) history.believe(belief, client.world.clock.now(), client.virtualTime(askedAt + ttlMs));
    this.renewLoop(belief, ttlMs);
    if (client.prng.chance(0.1)) {
      // Forgets to release: the lease runs out by itself.
      this.holding -= 1;
      this.soon();
      return;
    }
    client.after(client.prng.below(ttlMs * 2), () => this.release(actor, belief));
  }

  private renewLoop(belief: BelievedHold, ttlMs: number): void {
    const { client, history } = this;
    const renew = (): void => {
      if (belief.endedAt !== null) return;
      const machine = client.prng.pick(client.world.machines);
      const sentAt = client.localNow();
      client.call(
        machine,
        (api) => {
          api.renew(belief.name, belief.fence, ttlMs, (outcome) =>
            client.arrive(machine, () => {
              if (outcome.type === "lost") history.end(belief, client.world.clock.now());
              else if (outcome.type === "renewed") {
                client.world.totals.add("renewals");
                history.believe(belief, client.world.clock.now(), client.virtualTime(sentAt + Math.min(outcome.expiresInMs, ttlMs)));
              }
            }),
          );
        },
        () => undefined,
      );
      if (client.prng.chance(0.9)) client.after(ttlMs / 4 + client.prng.below(200), renew);
    };
    client.after(client.prng.below(ttlMs / 3), renew);
  }

  private release(actor: Actor, belief: BelievedHold): void {
    const { client, history } = this;
    history.end(belief, client.world.clock.now());
    const byOwner = client.prng.chance(0.2);
    this.send({ type: "release", actor, name: belief.name, fence: byOwner ? 0 : belief.fence, anonymous: false }, 0, () => {
      this.holding -= 1;
      this.soon();
    });
  }

  private forceRelease(): void {
    const name = anyPlainName(this.client.prng);
    this.send({ type: "force-release", principal: this.client.name, name, fence: 0, reason: "simulated operator" }, 0, () => this.soon());
  }

  private send(command: Command, waitMs: number, done: (result: Result | null) => void): void {
    const operation = this.history.begin(this.client.name, command, this.client.world.clock.now(), waitMs);
    const key = `${this.client.name}-${operation.id}`;
    // The idempotency key names the caller, and it sends one command (rule X2).
    operation.caller = key;
    operation.sequence = 1;
    const call: Call = {
      operation,
      key,
      timeoutMs: waitMs + 2_000,
      done,
      attempts: 0,
      uncertain: false,
      ended: false,
    };
    this.openCalls += 1;
    this.attempt(call);
  }

  private attempt(call: Call): void {
    const { client } = this;
    if (call.ended) return;
    if (call.attempts >= maxAttempts) {
      call.operation.abandoned = call.uncertain;
      call.operation.refused = !call.uncertain;
      this.end(call, null);
      return;
    }
    call.attempts += 1;
    call.operation.sends += 1;
    if (call.attempts > 1) client.world.totals.add("retries");
    const attempt = call.attempts;
    const machine = client.prng.pick(client.world.machines);
    const hurried = client.prng.chance(0.05);
    let refused = false;
    client.call(
      machine,
      (api) => {
        const submission = this.submit(api, call, (outcome) => client.arrive(machine, () => this.outcome(call, attempt, outcome)));
        // The client hangs up: a wait is cancelled through the log (rule K4).
        if (hurried)
          client.after(client.prng.below(1_500), () =>
            client.call(
              machine,
              () => submission.abandon(),
              () => undefined,
            ),
          );
      },
      () => {
        refused = true;
        client.after(100 + client.prng.below(300), () => this.attempt(call));
      },
    );
    client.after(call.timeoutMs + 1_500, () => {
      if (call.ended || refused || attempt !== call.attempts) return;
      call.uncertain = true;
      this.attempt(call);
    });
  }

  private submit(api: NodeApi, call: Call, done: (outcome: Outcome) => void): Submission {
    const { operation } = call;
    return api.submit(
      operation.command,
      { timeoutMs: call.timeoutMs, idempotency: { key: call.key, fingerprint: operation.command.type } },
      done,
    );
  }

  private outcome(call: Call, attempt: number, outcome: Outcome): void {
    const { client } = this;
    if (outcome.type === "answered" && !isLate(outcome.result)) {
      this.answered(call, outcome.result);
      return;
    }
    if (call.ended || attempt !== call.attempts) return;
    if (outcome.type === "answered") {
      // This copy came too late and did nothing. Another one, sent later with a later deadline, may still take effect.
      if (call.attempts > 1) call.uncertain = true;
      this.attempt(call);
      return;
    }
    if (outcome.type === "unknown") {
      call.uncertain = true;
      if (client.prng.chance(0.5)) this.ask(call, outcome.requestId);
      else this.attempt(call);
      return;
    }
    client.world.totals.add(`refused: ${outcome.code}`);
    client.after(outcome.retryAfterMs + client.prng.below(300), () => this.attempt(call));
  }

  /** Rule X3: what became of it? */
  private ask(call: Call, requestId: string): void {
    const { client } = this;
    const machine = client.prng.pick(client.world.machines);
    const asked = call.attempts;
    // An answer that comes after another attempt was made says nothing of that one.
    const again = (): void => {
      if (!call.ended && call.attempts === asked) this.attempt(call);
    };
    client.world.totals.add("outcomes asked for");
    client.call(
      machine,
      (api) => {
        api.request(requestId, (outcome) =>
          client.arrive(machine, () => {
            if (call.ended || call.attempts !== asked) return;
            if (outcome.type === "answered") this.answered(call, outcome.result);
            else if (outcome.type === "not-executed") {
              call.operation.refused = true;
              this.end(call, null);
            } else client.after(500, again);
          }),
        );
      },
      again,
    );
    client.after(4_000, again);
  }

  private answered(call: Call, result: Result): void {
    const { world } = this.client;
    const { operation } = call;
    if (operation.result !== null) {
      world.totals.add("duplicates answered");
      if (!answersMatch(operation.result, result)) {
        world.fail("answer-stable", `${operation.id} was answered ${JSON.stringify(operation.result)} and later ${JSON.stringify(result)}`);
      }
      return;
    }
    if (call.ended) return;
    operation.ret = world.clock.now();
    operation.result = result;
    world.answered(operation.id, result.type);
    this.end(call, result);
  }

  private end(call: Call, result: Result | null): void {
    call.ended = true;
    this.openCalls -= 1;
    call.done(result);
  }

  /** Linearizable reads beside the writes: what was answered before the read began must show. */
  private readLoop(): void {
    const { client } = this;
    if (!this.mayStart()) return;
    const machine = client.prng.pick(client.world.machines);
    const name = anyPlainName(client.prng);
    const call = client.world.clock.now();
    client.call(
      machine,
      (api) => {
        api.read("linearizable", 2_000, (outcome) => {
          if (outcome.type !== "ready") return;
          const lock = outcome.state.lock(name);
          const fences = lock.holders.map((holder) => holder.fence);
          const { lastFence } = outcome.state;
          client.arrive(machine, () => {
            client.world.totals.add("reads");
            this.reads.record({ node: machine.name, name, call, ret: client.world.clock.now(), lastFence, fences });
          });
        });
      },
      () => undefined,
    );
    client.after(300 + client.prng.below(1_200), () => this.readLoop());
  }
}

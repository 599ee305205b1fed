import { settlements } from "@trivet/wire";
import { expect, test } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { Bench, message, queue } from "./support/bench.ts";
import { Model } from "./support/model.ts";

const rules = { maxMessages: 40, maxDeliveries: 3, maxAcquired: 6, backoffMs: 40, dedupeWindowMs: 300 };
const seeds = 40;
const steps = 250;

/** The same random commands to the shard and to the model: every answer must be the same. */
class Play {
  readonly random: Prng;
  readonly bench: Bench = new Bench(rules);
  readonly model: Model = new Model(rules);
  /** Groups that wait to be told. */
  private readonly idle: Set<string> = new Set();
  private readonly receipts: { readonly group: string; readonly sequence: number; readonly acquired: number }[] = [];

  constructor(seed: number) {
    this.random = new Prng(seed);
  }

  step(): void {
    const { bench, model, random } = this;
    if (random.chance(0.3)) bench.now += random.pick([1, 7, 40, 100, 1000]);
    if (random.chance(0.05)) bench.reopen();
    model.pass(bench.now);
    const dice = random.below(100);
    if (dice < 30) this.produce();
    else if (dice < 58) this.consume();
    else if (dice < 88) this.settle();
    else if (dice < 92) this.expire();
    else if (dice < 94) {
      const messages = random.pick([null, 0, 1, 2, 5]);
      const begun = messages === null ? null : { messages, partitions: [0] };
      this.counted(bench.do({ type: "consumer-gone", queue, consumer: "c1", begun }), model.gone("c1", messages));
    } else if (dice < 98) {
      const limit = random.between(1, 3);
      const count = model.redrive(limit);
      const expected = count === null ? { type: "queue-full", limit: "messages", max: 40 } : { type: "counted", count };
      expect(bench.do({ type: "redrive", queue, partition: 0, sequences: [], limit, bounded: true })).toEqual(expected);
    } else if (dice < 99) this.counted(bench.do({ type: "purge-queue", queue, partition: 0, dead: false }), model.purge());
    else this.join();
    bench.check();
    for (const told of bench.told.splice(0)) this.idle.delete(told.slice("0/".length));
    // Nobody waits in vain: who was answered "no more" and not told since has nothing to be handed out.
    if (bench.shard.now === bench.now) for (const group of this.idle) expect([group, model.hasReady(group)]).toEqual([group, false]);
  }

  private produce(): void {
    const { random } = this;
    const batch = Array.from({ length: random.between(1, 4) }, () =>
      message({
        key: random.pick(["", "a", "a", "b"]),
        priority: random.pick([0, 0, 1, 3]),
        delayMs: random.chance(0.2) ? random.between(1, 120) : 0,
        ttlMs: random.chance(0.15) ? random.between(1, 300) : 0,
        dedupId: random.chance(0.2) ? random.pick(["x", "y", "z"]) : "",
      }),
    );
    const messages = this.model.produce(batch);
    const expected = messages === null ? { type: "queue-full", limit: "messages", max: 40 } : { type: "produced", partition: 0, messages };
    expect(this.bench.tryProduce({}, ...batch)).toEqual(expected);
  }

  private consume(): void {
    const { bench, model, random } = this;
    const [group, consumer] = [random.pick(["g", "g", "h"]), random.pick(["c1", "c2"])];
    const maxMessages = random.between(1, 6);
    const autoAck = random.chance(0.1);
    model.join(group, false);
    const answer = bench.tryConsume({ group, consumer, maxMessages, autoAck });
    if (answer.type !== "handed-out") throw new Error(answer.type);
    const given = answer.messages;
    for (const told of bench.told.splice(0)) this.idle.delete(told.slice("0/".length));
    if (answer.more) this.idle.delete(group);
    else this.idle.add(group);
    const expected = model.consume(group, consumer, maxMessages, autoAck);
    expect(given.map(({ sequence, acquired, deliveries }) => `${sequence}#${acquired}!${deliveries}`)).toEqual(expected);
    for (const { sequence, acquired } of given) this.receipts.push({ group, sequence, acquired });
  }

  private settle(): void {
    const { bench, model, random } = this;
    const settlement = random.chance(0.5) ? "ack" : random.pick(settlements);
    const delayMs = random.pick([-1, 0, 30]);
    const receipt = this.receipt();
    if (receipt === null) return;
    const { group, sequence, acquired } = receipt;
    expect(bench.settle(settlement, sequence, acquired, { group, delayMs })).toBe(
      model.settle(group, sequence, acquired, settlement, delayMs),
    );
  }

  private expire(): void {
    const receipt = this.receipt();
    if (receipt === null) return;
    const { group, sequence, acquired } = receipt;
    const extended = this.random.pick([0, 0, 1]);
    this.counted(this.bench.expire(sequence, acquired, group, extended), this.model.expire(group, sequence, acquired, extended));
  }

  private join(): void {
    this.model.join("late", true);
    this.bench.do({ type: "create-group", queue, partition: 0, group: "late", start: { type: "latest" } });
  }

  private receipt(): { readonly group: string; readonly sequence: number; readonly acquired: number } | null {
    const { bench, receipts, random } = this;
    if (receipts.length === 0) {
      // No command comes of it: the model has seen the time, and so must the shard.
      bench.pass(0);
      return null;
    }
    const at = random.below(receipts.length);
    // Mostly used up, sometimes used twice.
    return (random.chance(0.8) ? receipts.splice(at, 1)[0] : receipts[at]) ?? null;
  }

  private counted(answer: unknown, count: number): void {
    expect(answer).toEqual({ type: "counted", count });
  }
}

test("a shard answers random commands as a plain model does", () => {
  for (let seed = 1; seed <= seeds; seed++) {
    const play = new Play(seed);
    for (let step = 1; step <= steps; step++) {
      try {
        play.step();
      } catch (error) {
        throw new Error(`seed ${seed}, step ${step}`, { cause: error });
      }
    }
    expect(play.bench.leases.size).toBe(
      play.model.messages.reduce((sum, { shares }) => sum + [...shares.values()].filter(({ state }) => state === "leased").length, 0),
    );
  }
});

test("the same commands make the same store", () => {
  const [first, second] = [new Play(77), new Play(77)];
  for (let step = 0; step < 200; step++) {
    first.step();
    second.step();
  }
  expect(first.bench.view.dump()).toBe(second.bench.view.dump());
});

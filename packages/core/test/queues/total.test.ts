import {
  ByteReader,
  ByteWriter,
  type QueueDefinition,
  type ShardCommand,
  decodeShardCommand,
  encodeShardCommand,
  settlements,
} from "@trivet/wire";
import { expect, test } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { tables } from "../../src/queues/keys.ts";
import { Bench, consumption, definition, message, queue } from "./support/bench.ts";

const largest = Number.MAX_SAFE_INTEGER;
const longest = 2_147_483_647;

/** Anything that the codec lets through. */
function anyCommand(random: Prng, version: number): ShardCommand {
  const number = random.pick([0, 1, 2, 3, 5, largest]);
  const duration = random.pick([0, 1, 50, longest]);
  const partition = random.pick([0, 0, 0, 1, 2, 1023]);
  const group = random.pick(["g", "h", "", "\u0000"]);
  const known = random.chance(0.95) ? queue : number;
  const receipt = {
    partition,
    sequence: random.pick([1, 2, 3, 4, 5, number]),
    acquired: random.pick([1, 1, 2, number]),
    incarnation: random.pick([0, 1, 1, 2]),
  };
  switch (random.below(13)) {
    case 0: {
      const name = (field: keyof QueueDefinition): readonly [string, number] => [
        field,
        random.pick([0, 0, 2, field.endsWith("Ms") ? longest : largest]),
      ];
      const fields = Object.fromEntries(
        (
          [
            "maxDeliveries",
            "maxAcquired",
            "backoffMs",
            "maxMessages",
            "maxBytes",
            "ttlMs",
            "dedupeWindowMs",
            "maxLeased",
            "ratePerSecond",
          ] as const
        ).map(name),
      );
      return { type: "configure-queue", queue: known, definition: { ...definition, ...fields, version, paused: random.chance(0.1) } };
    }
    case 1:
      return random.chance(0.05) ? { type: "drop-queue", queue: known, version } : { type: "fence-floor", fence: number };
    case 2:
      return { type: "create-group", queue: known, partition, group, start: { type: random.pick(["earliest", "latest"]) } };
    case 3:
      return { type: "delete-group", queue: known, partition, group };
    case 4:
    case 5: {
      const fields = {
        delayMs: duration,
        dueAt: random.pick([0, 0, number]),
        ttlMs: random.pick([0, number]),
        dedupId: random.pick(["", "x"]),
      };
      const one = message({ ...fields, key: random.pick(["", "k"]), priority: random.below(4) });
      return {
        type: "produce",
        queue: known,
        partition,
        version: 0,
        messages: [one, message()],
        ifFence: random.pick([null, { lock: "l", fence: number }]),
      };
    }
    case 6:
    case 7:
      return consumption({
        queue: known,
        partition,
        group,
        maxMessages: 3,
        maxBytes: number,
        visibilityMs: duration,
        autoAck: random.chance(0.1),
      });
    case 8:
      return {
        type: "settle",
        queue: known,
        group,
        settlement: random.pick(settlements),
        delayMs: random.pick([-1, duration]),
        reason: "r",
        receipts: [receipt, receipt],
      };
    case 9:
      return { type: "expire-leases", leases: [{ queue: known, group, receipt, extended: random.pick([0, number]) }] };
    case 10:
      return { type: "consumer-gone", queue: known, consumer: "c", begun: random.chance(0.5) ? null : { messages: 1, partitions: [0] } };
    case 11:
      return { type: "redrive", queue: known, partition, sequences: random.pick([[], [number, 1, 2, 1]]), limit: number, bounded: true };
    default:
      return random.chance(0.5)
        ? { type: "purge-queue", queue: known, partition, dead: random.chance(0.5) }
        : { type: "raise-fence", lock: "l", fence: number };
  }
}

test("whatever the codec lets through has an answer, and the store stays in order", () => {
  const answers = new Set<string>();
  const writer = new ByteWriter();
  for (let seed = 1; seed <= 30; seed++) {
    const random = new Prng(seed);
    const bench = new Bench(
      {},
      { clearedPerEntry: 3, deadlinesPerEntry: 2, passedPerConsume: 2, messagesPerCommand: 3, groupsPerPartition: 2 },
    );
    for (let step = 1; step <= 200; step++) {
      if (random.chance(0.2)) bench.now = Math.min(largest, bench.now + random.pick([1, 60, longest]));
      writer.reset();
      encodeShardCommand(writer, anyCommand(random, step + 1));
      const command = decodeShardCommand(new ByteReader(writer.finish()));
      answers.add(bench.do(command, "leader").type);
      if (bench.view.count(tables.job) === 0) bench.check();
    }
    bench.pass(0, 500);
    expect(bench.view.count(tables.job)).toBe(0);
    bench.check();
  }
  const all = ["counted", "fence-behind", "handed-out", "malformed", "no-group", "not-configured", "produced", "queue-full", "settled"];
  expect([...answers].sort()).toEqual(all);
});

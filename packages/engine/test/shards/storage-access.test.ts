import type { QueueView } from "@trivet/core";
import {
  MemoryClock,
  StorageAccess,
  type CallerRoute,
  type KeptOutcome,
  type QueueStorage,
  type StorageOutcome,
  type Unavailable,
} from "@trivet/engine";
import { CommandFrameBuilder, CodecError, decodeShardAnswer, type ShardCommand } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { definition } from "./support.ts";

const down: Unavailable = { type: "unavailable", code: "redis_unavailable", retryAfterMs: 100, detail: "it does not answer" };
const done = (count: number): StorageOutcome => ({
  type: "answered",
  result: { type: "counted", count },
  requestId: "",
  durability: "primary",
});
const unknown: StorageOutcome = { type: "unknown", requestId: "x" };
const unheard: StorageOutcome = {
  type: "answered",
  result: { type: "not-configured", queue: 7, version: 0 },
  requestId: "",
  durability: "primary",
};
const queue7: QueueView = { queue: 7, definition, createdAt: 0 };

type Kept = (place: { readonly queue: number; readonly partition: number }, key: string) => KeptOutcome;
/** A storage that answers as it is told, by partition; and who asked. */
function storage(clock: MemoryClock, outcomes: Map<number, StorageOutcome[]>, kept: Kept) {
  const asked: { readonly partition: number; readonly key: string; readonly timeoutMs: number }[] = [];
  const configured: number[] = [];
  const made = {
    backend: "redis",
    submit: (place, _command, options, told) => {
      asked.push({ partition: place.partition, key: options.idempotency?.key ?? "", timeoutMs: options.timeoutMs });
      const outcome = outcomes.get(place.partition)?.shift() ?? done(place.partition);
      clock.defer(() => told(outcome));
      return { requestId: "", abandon: () => undefined };
    },
    query: () => undefined,
    kept: (place, key, _timeoutMs, told) => {
      const outcome = kept(place, key);
      clock.defer(() => told(outcome));
    },
    configure: (queue) => void configured.push(queue),
    watchReady: () => () => undefined,
  } satisfies QueueStorage;
  return { made, asked, configured };
}

interface Told extends CallerRoute<Uint8Array> {
  readonly answers: (readonly [number, string])[];
  readonly refusals: (readonly [number, number, string])[];
  flushes: number;
}
function route(): Told {
  const told: Told = {
    answers: [],
    refusals: [],
    flushes: 0,
    answer: (sequence, bytes) => {
      const answer = decodeShardAnswer(bytes);
      told.answers.push([sequence, answer.type === "counted" ? `counted ${answer.count}` : answer.type]);
    },
    flush: () => {
      told.flushes += 1;
    },
    refused: (first, count, { code }) => void told.refusals.push([first, count, code]),
  };
  return told;
}

const purge = (partition: number): ShardCommand => ({ type: "purge-queue", queue: 7, partition, dead: false });
function frame(commands: readonly ShardCommand[], notAfter = 10_000): Uint8Array {
  const builder = new CommandFrameBuilder();
  builder.begin("lane", "", notAfter, 0, 5);
  for (const command of commands) builder.add(command);
  return builder.finish();
}

/** `log`: what it says of the queue; null = there is none. */
function bench(
  outcomes: Map<number, StorageOutcome[]> = new Map(),
  log: QueueView | Unavailable | null = null,
  kept: Kept = () => ({ type: "gone" }),
) {
  const clock = new MemoryClock(0);
  const { made, asked, configured } = storage(clock, outcomes, kept);
  const isThere = log !== null && "queue" in log;
  const access = new StorageAccess(made, clock, () => clock.now(), {
    refresh: (_timeoutMs, ready) => clock.defer(() => ready(log === null || isThere ? { type: "ready" } : log)),
    byNumber: () => (isThere ? log : null),
  });
  const told = route();
  access.route(1, "lane", told);
  return { clock, access, told, asked, configured };
}

describe("a storage outside, behind the terms of a shard", () => {
  test("commands of a frame are executed one by one, under their own keys, and answered in one message", () => {
    const { clock, access, told, asked } = bench();
    expect(access.submitFrame(1, frame([purge(1), purge(2)]))).toBeNull();
    clock.advance(10);
    expect(asked).toEqual([
      { partition: 1, key: "lane/5", timeoutMs: 10_000 },
      { partition: 2, key: "lane/6", timeoutMs: 10_000 },
    ]);
    expect(told).toMatchObject({
      answers: [
        [5, "counted 1"],
        [6, "counted 2"],
      ],
      flushes: 1,
      refusals: [],
    });
    expect(access.spread()).toEqual({ backend: "redis", shards: 1 });
  });

  test("a frame of which nothing happened is refused as a whole", () => {
    const { clock, access, told } = bench(new Map([1, 2].map((partition) => [partition, [down]])));
    access.submitFrame(1, frame([purge(1), purge(2)]));
    clock.advance(10);
    expect(told).toMatchObject({ answers: [], refusals: [[5, 2, "redis_unavailable"]] });
  });

  test("where some of it happened, the rest is tried again until it is too late", () => {
    const { clock, access, told, asked } = bench(
      new Map([
        [2, [down, down]],
        [3, Array.from({ length: 1_000 }, () => down)],
      ]),
    );
    access.submitFrame(1, frame([purge(1), purge(2), purge(3)], 1_000));
    clock.advance(50);
    expect(told.answers).toEqual([[5, "counted 1"]]);
    clock.advance(2_000);
    expect(told.answers).toEqual([
      [5, "counted 1"],
      [6, "counted 2"],
      [7, "refused"],
    ]);
    expect(new Set(asked.filter(({ partition }) => partition === 2).map(({ key }) => key))).toEqual(new Set(["lane/6"]));
    expect(told.refusals).toEqual([]);
  });

  test("what comes after its deadline may have come before, through another node: that nothing happened is said when who sent it has given up", () => {
    const { clock, access, told, asked } = bench();
    clock.advance(1_010);
    access.submitFrame(1, frame([purge(1)], 1_000));
    clock.advance(500);
    expect(told.answers).toEqual([]);
    clock.advance(1_000);
    expect(told.answers).toEqual([[5, "refused"]]);
    access.submitFrame(1, frame([purge(1)], 1_000));
    clock.advance(10);
    expect(told.answers).toHaveLength(2);
    expect(asked).toEqual([]);
  });

  describe("a produce past its deadline", () => {
    const message = { key: "", body: new Uint8Array(1), headers: [], priority: 0, delayMs: 0, dueAt: 0, ttlMs: 0, dedupId: "" };
    const produce: ShardCommand = { type: "produce", queue: 7, partition: 1, version: 1, messages: [message], ifFence: null };
    const stored: KeptOutcome = {
      type: "shard-answered",
      answer: { type: "produced", partition: 1, messages: [{ sequence: 1, duplicate: false }] },
    };
    /** A node whose clock is 3 s past the deadline, at a storage that answers each look at what is kept in turn. */
    function ahead(kept: KeptOutcome[], log: QueueView | Unavailable | null = queue7) {
      const looks: (readonly [number, number, string])[] = [];
      const there = bench(new Map(), log, (place, key) => {
        looks.push([place.queue, place.partition, key]);
        return kept.shift() ?? { type: "gone" };
      });
      there.clock.advance(4_000);
      there.access.submitFrame(1, frame([produce], 1_000));
      return { ...there, looks };
    }

    test("is answered with what another node, whose clock is behind, has had executed", () => {
      const { clock, told, asked, looks } = ahead([stored]);
      clock.advance(10);
      expect(told).toMatchObject({ answers: [[5, "produced"]], refusals: [] });
      expect(looks).toEqual([[7, 1, "lane/5"]]);
      expect(asked).toEqual([]);
    });

    test("is refused when no answer has come either by the time that who sent it has given up", () => {
      const never = ahead([]);
      never.clock.advance(900);
      expect(never.told.answers).toEqual([]);
      never.clock.advance(200);
      expect(never.told).toMatchObject({ answers: [[5, "refused"]], refusals: [] });
      const later = ahead([{ type: "gone" }, stored]);
      later.clock.advance(1_100);
      expect(later.told.answers).toEqual([[5, "produced"]]);
      const gone = ahead([stored], null);
      gone.clock.advance(1_100);
      expect([gone.told.answers, gone.looks]).toEqual([[[5, "refused"]], []]);
    });

    test("is not said to have done nothing where nobody can know", () => {
      for (const unknowing of [ahead([down]), ahead([stored], { ...down, code: "no_quorum" })]) {
        unknowing.clock.advance(5_000);
        expect(unknowing.told).toMatchObject({ answers: [], refusals: [] });
        // What is sent again is looked for again.
        unknowing.access.submitFrame(1, frame([purge(2)]));
        unknowing.clock.advance(10);
        expect(unknowing.told.answers).toEqual([[5, "counted 2"]]);
      }
    });
  });

  test("a node that has not heard of a queue asks the log before it says so: another node may have stored what it is asked for", () => {
    const behind = bench(new Map([[1, [unheard]]]), queue7);
    behind.access.submitFrame(1, frame([purge(1)]));
    behind.clock.advance(10);
    expect(behind.told.answers).toEqual([[5, "counted 1"]]);
    expect([behind.configured, behind.asked.map(({ key }) => key)]).toEqual([[7], ["lane/5", "lane/5"]]);
    const gone = bench(new Map([[1, [unheard]]]));
    gone.access.submitFrame(1, frame([purge(1)]));
    gone.clock.advance(10);
    expect(gone.told.answers).toEqual([[5, "not-configured"]]);
    const alone = bench(new Map([[1, [unheard]]]), { type: "unavailable", code: "no_quorum", retryAfterMs: 100, detail: "" });
    alone.access.submitFrame(1, frame([purge(1)]));
    alone.clock.advance(10);
    expect([alone.told.answers, alone.told.refusals]).toEqual([[], [[5, 1, "no_quorum"]]]);
  });

  test("of what nobody knows nothing is said, and what is not for callers is malformed", () => {
    const { clock, access, told, asked } = bench(new Map([[1, [unknown]]]));
    access.submitFrame(1, frame([purge(1), { type: "fence-floor", fence: 3 }]));
    clock.advance(10);
    expect(told).toMatchObject({ answers: [[6, "malformed"]], refusals: [] });
    expect(asked).toHaveLength(1);
    expect(() => access.submitFrame(1, new Uint8Array([1, 2]))).toThrow(CodecError);
  });

  test("a caller that went away hears nothing, and one that came back hears it there", () => {
    const { clock, access, told } = bench();
    access.submitFrame(1, frame([purge(1)]));
    const other = route();
    access.route(1, "lane", other);
    access.endRoute(1, "lane", told);
    clock.advance(10);
    expect([told.answers, other.answers]).toEqual([[], [[5, "counted 1"]]]);
  });
});

import { encodeSingleCommandFrame } from "@trivet/wire";
import { expect } from "vitest";
import { FrameOutbox } from "../../src/calls/frame-outbox.ts";
import { guard } from "./guard.ts";

guard(
  "host-passing-refusal-told",
  "that a shard does not know the queue yet is not told of a keyed call while another copy of its frame may be executed (rule X1)",
  () => {
    let leader = "n1";
    const outbox = new FrameOutbox<string>(
      {
        now: () => 0,
        groupTime: () => 0,
        leader: () => leader as never,
        term: () => 1,
        dispatch: () => true,
        lookup: () => "unknown",
        isRefusal: (result) => result !== "done",
        isPassing: (result) => result === "not known yet",
        levelRefusal: () => null,
        failed: () => undefined,
      },
      1_000,
    );
    const told: string[] = [];
    outbox.setRoute("key", { answer: (_sequence, result) => told.push(result), flush: () => undefined, refused: () => undefined });
    outbox.submit(encodeSingleCommandFrame("key", "body", 5_000, { type: "fence-floor", fence: 1 }));
    leader = "n2";
    outbox.resend(false);
    outbox.answer("key", 1, "not known yet", "body", 5_000);
    outbox.answer("key", 1, "done", "body", 5_000);
    expect(told).toEqual(["done"]);
    // With one copy there is nothing to wait for.
    outbox.submit(encodeSingleCommandFrame("key", "body", 6_000, { type: "fence-floor", fence: 1 }));
    outbox.answer("key", 1, "not known yet", "body", 6_000);
    expect(told).toEqual(["done", "not known yet"]);
  },
);

guard(
  "host-late-frame-forgotten",
  "a frame that comes after its not-after is answered, however many beats its refusal takes; without an answer it is forgotten in the end (rule X4)",
  () => {
    let now = 0;
    const told: string[] = [];
    const dispatched: number[] = [];
    const outbox = new FrameOutbox<string>(
      {
        now: () => now,
        groupTime: () => 100_000 + now,
        leader: () => "n1" as never,
        term: () => 1,
        dispatch: () => dispatched.push(now) > 0,
        lookup: () => "unknown",
        isRefusal: () => true,
        isPassing: () => false,
        levelRefusal: () => null,
        failed: () => undefined,
      },
      1_000,
    );
    outbox.setRoute("key", { answer: (_sequence, result) => told.push(result), flush: () => undefined, refused: () => undefined });
    const late = encodeSingleCommandFrame("key", "body", 5_000, { type: "fence-floor", fence: 1 });
    outbox.submit(late);
    for (; now < 300; now += 50) outbox.tick();
    outbox.answer("key", 1, "past its deadline", "body", 5_000);
    expect(told).toEqual(["past its deadline"]);
    outbox.submit(late);
    now += 60_000;
    outbox.tick();
    outbox.answer("key", 1, "too late", "body", 5_000);
    expect(told).toHaveLength(1);
  },
);

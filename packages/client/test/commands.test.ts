import { type Command, OutcomeUnknownError, type Result, type TrivetError, UnavailableError } from "@trivet/client";
import { parseRequestId } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { cluster, connected, failure, until } from "./support.ts";

const nothing: Command = { type: "nothing" };
const done: Result = { type: "done" };
const hex = (frame: Uint8Array | undefined): string => Buffer.from(frame ?? []).toString("hex");

describe("batches", () => {
  test("the commands of one turn travel as one frame, and each is answered once", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const answers: Result[] = [];
    for (let i = 0; i < 100; i++) {
      connection.submit(nothing, (_, result) => {
        if (result !== null) answers.push(result);
      });
    }
    expect(connection.openCommands).toBe(100);
    await until(() => answers.length === 100, "all answered");
    expect(answers).toEqual(Array.from({ length: 100 }, () => done));
    expect(fake.node(0).frames).toHaveLength(1);
    expect(connection.openCommands).toBe(0);
  });

  test("256 callers keep one connection busy", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const perCaller = 40;
    let finished = 0;
    for (let caller = 0; caller < 256; caller++) {
      let left = perCaller;
      const next = (error: TrivetError | null): void => {
        expect(error).toBeNull();
        if (left-- > 0) connection.submit(nothing, next);
        else finished++;
      };
      next(null);
    }
    await until(() => finished === 256, "all callers finished");
    expect(fake.executed).toHaveLength(256 * perCaller);
    expect(fake.node(0).frames.length).toBeLessThan(256);
  });

  test("an answer that comes twice is told once", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    fake.node(0).policy = "answer-twice";
    let answers = 0;
    for (let i = 0; i < 10; i++) connection.submit(nothing, () => answers++);
    await until(() => answers >= 10, "all answered");
    // One more round trip: whatever came late was read before this answer.
    await connection.execute(nothing);
    expect(answers).toBe(10);
    expect(fake.executed).toHaveLength(11);
  });

  test("a command that cannot be encoded fails alone", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const [bad, good] = await Promise.allSettled([
      connection.execute({ type: "forget-node", node: "\ud800" }),
      connection.execute(nothing),
    ]);
    expect(bad).toMatchObject({ status: "rejected", reason: { code: "bad_request" } });
    expect(good).toEqual({ status: "fulfilled", value: done });
  });
});

describe("a connection that is lost", () => {
  test.each(["drop-unread", "drop-unanswered"] as const)("%s: the same bytes are sent again and take effect once", async (policy) => {
    const fake = await cluster();
    const connection = await connected(fake);
    fake.node(0).policies.push(policy, policy);
    const results = await Promise.all([connection.execute(nothing), connection.execute({ ...nothing })]);
    expect(results).toEqual([done, done]);
    expect(fake.executed).toHaveLength(2);
    const { frames } = fake.node(0);
    expect(frames).toHaveLength(3);
    expect(new Set(frames.map(hex)).size).toBe(1);
  });

  test("commands submitted meanwhile go out with the next connection", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const node = fake.node(0);
    await node.stop();
    await until(() => connection.node === null, "the loss was noticed");
    const waiting = [connection.execute(nothing), connection.execute(nothing)];
    await node.restart();
    expect(await Promise.all(waiting)).toEqual([done, done]);
    expect(fake.executed).toHaveLength(2);
  });

  test("a frame that a node refuses is sent again, there", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const node = fake.node(0);
    node.policies.push({ refuse: "no_leader" }, { refuse: "overloaded" });
    expect(await connection.execute(nothing)).toEqual(done);
    expect(new Set(node.frames.map(hex)).size).toBe(1);
    expect(node.frames).toHaveLength(3);
    expect(fake.executed).toHaveLength(1);
  });

  test("a frame that is forbidden fails at once", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    fake.node(0).policies.push({ refuse: "forbidden" });
    expect(await failure(connection.execute(nothing))).toMatchObject({ code: "forbidden", retryable: false });
    expect(await connection.execute(nothing)).toEqual(done);
  });
});

describe("deadlines", () => {
  test("no answer in time is an unknown outcome with the id to ask for", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    fake.node(0).policies.push("swallow");
    const error = await failure(connection.execute(nothing, { timeoutMs: 100 }));
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(error).toMatchObject({ code: "commit_timeout", retryable: false });
    const key = parseRequestId(error instanceof OutcomeUnknownError ? error.requestId : "");
    expect(key).toMatchObject({ group: 0, sequence: 1 });
    // Group time of the deadline: about now, so that the cluster refuses what comes later.
    expect(Math.abs((key?.notAfter ?? 0) - Date.now())).toBeLessThan(20_000);
    expect(await connection.execute(nothing)).toEqual(done);
  });

  test("what never reached a node did not happen, and never will", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const node = fake.node(0);
    await node.stop();
    await until(() => connection.node === null, "the loss was noticed");
    const error = await failure(connection.execute(nothing, { timeoutMs: 100 }));
    expect(error).toBeInstanceOf(UnavailableError);
    expect(error).toMatchObject({ code: "unreachable", retryable: true });
    await node.restart();
    expect(await connection.execute({ type: "forget-node", node: "x" })).toMatchObject({ type: "malformed" });
    expect(fake.executed.map((command) => command.type)).toEqual(["forget-node"]);
  });

  test("what every node refused did not happen", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    // Asks for a pause beyond the deadline: no sending is under way when it passes.
    fake.node(0).policy = { refuse: "no_quorum", retryAfterMs: 60_000 };
    expect(await failure(connection.execute(nothing, { timeoutMs: 600 }))).toMatchObject({ code: "no_quorum", retryable: true });
    expect(fake.executed).toEqual([]);
  });

  test("a late answer of a command that was given up is told to `late`", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const node = fake.node(0);
    node.policies.push("swallow");
    let late: Result | null = null;
    const error = await failure(
      connection.execute(nothing, {
        timeoutMs: 100,
        late: (result) => {
          late = result;
        },
      }),
    );
    expect(error).toBeInstanceOf(OutcomeUnknownError);
    expect(late).toBeNull();
    node.cutConnections();
    await until(() => late !== null, "the frame was sent again and answered");
    expect(late).toEqual(done);
    expect(fake.executed).toHaveLength(1);
  });

  test("a command that the cluster refuses as too late may be sent again", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const start = Date.now();
    // A new leader, whose wall clock is an hour ahead.
    fake.groupTime = () => start + 3_600_000;
    const result = await connection.execute(nothing);
    expect(result).toEqual({ type: "refused", reason: "past-deadline" });
    fake.node(0).cutConnections();
    await until(() => fake.node(0).hellos.length === 2 && connection.node !== null, "connected again");
    expect(await connection.execute(nothing)).toEqual(done);
  });
});

describe("the end", () => {
  test("commands after close fail, and so do those without an answer", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    fake.node(0).policy = "ignore";
    const open = failure(connection.execute(nothing));
    await until(() => fake.node(0).frames.length === 1, "the command was sent");
    const unsent = failure(connection.execute(nothing));
    await connection.close();
    await connection.close();
    expect(await open).toMatchObject({ code: "commit_timeout" });
    expect(await unsent).toMatchObject({ code: "closed" });
    expect(await failure(connection.execute(nothing))).toMatchObject({ code: "closed" });
    expect(connection.node).toBeNull();
    await until(() => fake.node(0).connections === 0, "the node saw it");
  });

  test("an error thrown by one callback does not keep the others from their answers", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const thrown: unknown[] = [];
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    process.on("uncaughtException", (error) => thrown.push(error));
    try {
      let answered = 0;
      connection.submit(nothing, () => {
        throw new Error("of the program");
      });
      connection.submit(nothing, () => answered++);
      await until(() => answered === 1 && thrown.length === 1, "answered, and the error surfaced");
      expect(thrown[0]).toMatchObject({ message: "of the program" });
    } finally {
      process.removeAllListeners("uncaughtException");
      for (const listener of listeners) process.on("uncaughtException", listener);
    }
  });
});

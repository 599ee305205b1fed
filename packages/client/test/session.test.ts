import { LockLostError, Session } from "@trivet/client";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { cluster, connected, until } from "./support.ts";

function session(sentAt: number): { session: Session; ended: string[] } {
  const ended: string[] = [];
  const opened: Session = new Session(7, 1000, sentAt, {
    closeSession: () => Promise.resolve(),
    ended: () => ended.push(opened.reason ?? ""),
  });
  return { session: opened, ended };
}

describe("the lease of a session", () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ["performance", "setTimeout", "clearTimeout", "setImmediate", "clearImmediate"] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("counts from the send of what was acknowledged, not from the answer", () => {
    const sentAt = performance.now();
    vi.advanceTimersByTime(400);
    const { session: opened } = session(sentAt);
    expect(opened.remainingMs()).toBe(600);
    const keepAliveAt = performance.now();
    vi.advanceTimersByTime(300);
    opened.extendFrom(keepAliveAt);
    expect(opened.remainingMs()).toBe(700);
    // An older acknowledgement that comes late takes nothing away.
    opened.extendFrom(sentAt);
    expect(opened.remainingMs()).toBe(700);
  });

  test("ends when nothing is acknowledged, and stays ended", () => {
    const { session: opened, ended } = session(performance.now());
    const { signal } = opened;
    vi.advanceTimersByTime(999);
    expect(signal.aborted).toBe(false);
    opened.assertAlive();
    vi.advanceTimersByTime(5);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBeInstanceOf(LockLostError);
    expect(ended).toHaveLength(1);
    opened.extendFrom(performance.now());
    expect(opened.isAlive).toBe(false);
    expect(opened.remainingMs()).toBe(0);
  });

  test("lives on while keepalives are acknowledged", () => {
    const { session: opened, ended } = session(performance.now());
    for (let i = 0; i < 50; i++) {
      vi.advanceTimersByTime(900);
      opened.extendFrom(performance.now());
    }
    expect(opened.isAlive).toBe(true);
    expect(ended).toEqual([]);
  });

  test("is judged by the clock even when no timer could run", () => {
    const { session: opened } = session(performance.now());
    // The event loop is blocked: time passes, timers do not fire.
    vi.setSystemTime(Date.now() + 5000);
    vi.spyOn(performance, "now").mockReturnValue(performance.now() + 5000);
    expect(() => opened.assertAlive()).toThrow(LockLostError);
    vi.restoreAllMocks();
    opened.extendFrom(performance.now());
    expect(opened.isAlive, "what was found lost stays lost").toBe(false);
  });

  test("an acknowledgement that waits to be read when the timer fires still counts", () => {
    const { session: opened } = session(performance.now());
    vi.advanceTimersByTime(900);
    const keepAliveAt = performance.now();
    vi.advanceTimersToNextTimer();
    opened.extendFrom(keepAliveAt);
    vi.advanceTimersByTime(200);
    expect(opened.isAlive).toBe(true);
  });
});

describe("keepalives", () => {
  test("keep a session alive beyond its time to live", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { sessionTtlMs: 1_000 });
    const session = await connection.openSession();
    await until(() => fake.node(0).keepAlives >= 8, "keepalives for twice as long");
    expect(session.isAlive).toBe(true);
    await session.close();
    expect(fake.sessions.size).toBe(0);
    expect(session.signal.aborted).toBe(true);
  });

  test("that nobody answers end the session here, too", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { sessionTtlMs: 100 });
    const session = await connection.openSession();
    fake.node(0).keepAlive = "ignore";
    await until(() => session.signal.aborted, "told");
    expect(fake.sessions.has(session.id), "the cluster may still think otherwise").toBe(true);
    expect(session.reason).toContain("no keepalive");
  });

  test("that the cluster answers with lost end the session at once", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { sessionTtlMs: 2_000 });
    const session = await connection.openSession();
    fake.expire(session.id);
    fake.node(0).cutConnections();
    await until(() => session.signal.aborted, "told");
    expect(session.reason).toContain("no longer knows");
  });

  test("go on through a change of node, the session named to the new one", async () => {
    const fake = await cluster(2);
    const connection = await connected(fake, { sessionTtlMs: 10_000 });
    const session = await connection.openSession();
    fake.elect(fake.node(1));
    await until(() => fake.node(1).keepAlives > 0, "a keepalive at the new leader");
    expect(fake.node(1).hellos[0]?.session).toBe(session.id);
    expect(session.isAlive).toBe(true);
  });

  test("a node may tell that a session ended", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    const session = await connection.openSession();
    fake.node(0).tellAll({ type: "session-event", session: session.id, event: "expired" });
    await until(() => !session.isAlive, "told");
    expect(session.reason).toContain("expired");
  });

  test("closing the connection ends its sessions at the cluster", async () => {
    const fake = await cluster();
    const connection = await connected(fake);
    await connection.locks.acquire("a");
    await connection.close();
    expect(fake.sessions.size).toBe(0);
    expect(fake.holderOf("a")).toBeNull();
  });

  test("a session that opened after its deadline is closed again", async () => {
    const fake = await cluster();
    const connection = await connected(fake, { commandTimeoutMs: 400 });
    fake.node(0).policies.push("swallow");
    await expect(connection.openSession()).rejects.toMatchObject({ code: "commit_timeout" });
    expect(fake.sessions.size).toBe(1);
    fake.node(0).cutConnections();
    await until(() => fake.sessions.size === 0, "closed again");
  });
});

import { ClusterBench } from "./cluster-bench.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const ttlMs = 1_000;

/** Rule L2: time in which the process did not run counts against nobody, whose keepalives lie unread. */
export const leaseOverPause: Scenario = scenario("lease-over-pause", () => {
  const bench = new ClusterBench(1);
  const node = bench.theLeader();
  const session = bench.openSession(ttlMs);
  bench.run(200);
  node.pause();
  bench.run(100);
  const asked = bench.keepAlive(node, session, 5_000);
  bench.run(2_900);
  node.resume();
  bench.run(200);
  expect(
    asked.answer === "alive",
    "lease-over-pause",
    () => `a keepalive that came in time, during a pause, was answered ${asked.answer ?? "nothing"}`,
  );
  expect(bench.sessionLives(node, session), "lease-over-pause", () => "the session ended because its leader was paused");
});

/** Rule L2: after a pause the leader reads what has come before it ends what has run out. */
export const expiryAfterPause: Scenario = scenario("expiry-after-pause", () => {
  const bench = new ClusterBench(1);
  const node = bench.theLeader();
  const session = bench.openSession(ttlMs);
  // So little is left that even the counted part of the pause is enough.
  bench.run(ttlMs - 120);
  node.pause();
  bench.run(60);
  const asked = bench.keepAlive(node, session, 5_000);
  bench.run(2_000);
  node.resume();
  bench.run(300);
  expect(asked.answer === "alive", "expiry-after-pause", () => `a keepalive that came in time was answered ${asked.answer ?? "nothing"}`);
  expect(bench.sessionLives(node, session), "expiry-after-pause", () => "the session was ended before what had come for it was read");
});

/** Rule L1: a session whose expiry is on its way is never renewed. */
export const renewalAfterExpiry: Scenario = scenario("renewal-after-expiry", () => {
  const bench = new ClusterBench(3);
  const leader = bench.theLeader();
  const session = bench.openSession(ttlMs);
  bench.run(ttlMs - 50);
  // The expiry will be proposed, but no follower can make it durable for a while.
  for (const follower of bench.followers()) follower.disk.stall(bench.world.clock.now() + 500);
  bench.run(150);
  expect(bench.sessionLives(leader, session), "renewal-after-expiry", () => "the expiry was committed too early for this script");
  const asked = bench.keepAlive(leader, session, 300);
  bench.until(() => asked.answer !== null, 400, "an answer to the keepalive");
  bench.run(1_000);
  const lives = bench.sessionLives(bench.theLeader(), session);
  expect(lives || asked.answer !== "alive", "lease-kept", () => "a session was renewed and then expired at once");
});

/** Rule L1: whoever extends time has a quorum behind it at that moment. */
export const renewalWithoutQuorum: Scenario = scenario("renewal-without-quorum", () => {
  const bench = new ClusterBench(3);
  const leader = bench.theLeader();
  const session = bench.openSession(10_000);
  bench.run(500);
  for (const follower of bench.followers()) bench.cut(leader, follower, true);
  const asked = bench.keepAlive(leader, session, 200);
  bench.run(250);
  expect(asked.answer !== "alive", "lease-kept", () => "a leader without a quorum extended a session");
});

/** Rule L3: a new leader starts a large state's leases step by step; one whose turn has not come can be renewed all the same. */
export const renewalBeforeStart: Scenario = scenario("renewal-before-start", () => {
  const bench = new ClusterBench(1);
  const node = bench.theLeader();
  let opened = 0;
  bench.on(node, (api) => {
    for (let i = 0; i < 5_000; i++) {
      const command = { type: "open-session", ttlMs: 60_000, lockDelayMs: 0, principal: "p", label: "" } as const;
      api.submit(command, { timeoutMs: 5_000 }, (outcome) => {
        if (outcome.type === "answered" && outcome.result.type === "session-opened") opened++;
      });
    }
  });
  bench.until(() => opened === 5_000, 6_000, "5000 sessions are open");
  node.kill(false);
  node.start();
  // The sessions are walked in 64 parts; this one is in the last.
  let answer: string | null = "unavailable";
  for (let tries = 0; tries < 5_000 && answer === "unavailable"; tries++) {
    const asked = node.running === null ? null : bench.keepAlive(node, 63, 1);
    bench.run(2);
    answer = asked?.answer ?? "unavailable";
  }
  expect(
    answer === "alive",
    "renewal-before-start",
    () => `a keepalive right after the leader's start was answered ${answer ?? "nothing"}`,
  );
});

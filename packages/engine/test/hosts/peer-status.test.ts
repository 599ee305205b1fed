import { describe, expect, test } from "vitest";
import { ready } from "./cluster.ts";
import { guard } from "./guard.ts";

const failureDetector = { intervalMs: 500, timeoutMs: 2_000 };

describe("peers as a node shows them (X-08)", () => {
  guard(
    "host-silent-peer-alive",
    "a peer whose link is up but that is silent for HEARTBEAT_TIMEOUT is shown as gone, and back when heard",
    () => {
      const cluster = ready({ failureDetector });
      cluster.run(3_000);
      const [one, other] = cluster.roles().followers;
      const shown = (): boolean | undefined => one.host.api.status().peers.find((peer) => peer.node === other.config.node)?.connected;
      // Two followers have nothing to say to each other: probes are what they hear.
      cluster.run(10_000);
      expect(shown()).toBe(true);
      const { options } = cluster.network;
      cluster.network.options = { fate: ({ from, to }) => ({ delaysMs: from === other.url && to === one.url ? [] : [0.2] }) };
      cluster.run(failureDetector.timeoutMs - failureDetector.intervalMs - 10);
      expect(shown()).toBe(true);
      cluster.run(3 * failureDetector.intervalMs);
      expect(one.host.hub.isUp(other.host.queries.status().node)).toBe(true);
      expect(shown()).toBe(false);
      cluster.run(5_000);
      expect(one.telemetry.lines.filter((line) => line.event === "peer.silent").length).toBe(1);
      cluster.network.options = options;
      cluster.network.retransmit();
      cluster.until("it is heard again", () => shown() === true, 5_000);
      cluster.until("it is told", () => one.telemetry.lines.some((line) => line.event === "peer.heard"), 5_000);
    },
  );

  test("the times are those of the configuration, whatever the timers of Raft", () => {
    const cluster = ready({
      failureDetector: { intervalMs: 100, timeoutMs: 300 },
      heartbeatMs: 1_000,
      electionMinMs: 5_000,
      electionMaxMs: 9_000,
    });
    cluster.run(10_000);
    const [one, other] = cluster.roles().followers;
    cluster.kill(other.config.node);
    cluster.network.options = { fate: ({ to }) => ({ delaysMs: to === other.url ? [] : [0.2] }) };
    cluster.run(500);
    expect(one.host.api.status().peers.find((peer) => peer.node === other.config.node)?.connected).toBe(false);
  });
});

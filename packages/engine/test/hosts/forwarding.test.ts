import { describe, expect, test } from "vitest";
import type { Link, NodeApi, Outcome } from "@trivet/engine";
import { acquire, Cluster, ready, Told } from "./cluster.ts";

describe("commands forwarded to the leader", () => {
  test("a frame lost with one of the two links of a pair is sent again", () => {
    // Both ends of each node's newest dialled link, by who dialled whom.
    const ends = new Map<string, { dialled?: Link; accepted?: Link }>();
    const pair = (from: string, to: string): { dialled?: Link; accepted?: Link } => {
      const key = `${from} ${to}`;
      const known = ends.get(key) ?? {};
      ends.set(key, known);
      return known;
    };
    const cluster = Cluster.of(3, {}, 1, (network, url) => {
      const transport = network.transport(url);
      return {
        dial: (to, opened) =>
          transport.dial(to, (link, reason) => {
            if (link !== null) pair(url, to).dialled = link;
            opened(link, reason);
          }),
        onAccept: (accept) =>
          transport.onAccept((link) => {
            pair(link.remote, url).accepted = link;
            accept(link);
          }),
      };
    });
    cluster.untilReady();
    cluster.run(500);
    const { leader, followers } = cluster.roles();
    const [follower] = followers;
    const told = cluster.begin(follower.config.node, acquire("a", "alice"), { timeoutMs: 5_000 });
    // The frame leaves at the end of this turn; the link it travels on is reset while it is in flight. The other link stays.
    const { dialled, accepted } = pair(follower.url, leader.url);
    if (dialled === undefined || accepted === undefined) throw new Error("the follower has not dialled the leader");
    const send = dialled.send.bind(dialled);
    let cut = false;
    dialled.send = (parts) => {
      send(parts);
      if (cut) return;
      cut = true;
      accepted.close("reset");
      dialled.close("reset");
    };
    cluster.run(3_000);
    expect(cut).toBe(true);
    expect(told.value).toMatchObject({ type: "answered" });
  });

  test("`not-executed` is final (X3), also when a frame carries commands of different deadlines", () => {
    const cluster = ready();
    cluster.run(500);
    const [entry, other] = cluster.roles().followers;
    const told = new Told<Outcome>();
    const { api } = entry.host;
    const short = api.submit(acquire("a", "alice"), { timeoutMs: 200 }, told.hear);
    api.submit(acquire("b", "alice"), { timeoutMs: 60_000 }, () => undefined);
    const { options } = cluster.network;
    // What the entry node sends is stuck in its sockets (a cut of one direction) until retransmitted.
    cluster.network.options = { fate: ({ from }) => ({ delaysMs: from === entry.url ? [] : [0.2] }) };
    cluster.run(3_000);
    expect(told.value).toMatchObject({ type: "unknown" });
    const asked = new Told<Parameters<Parameters<NodeApi["request"]>[1]>[0]>();
    other.host.api.request(short.requestId, asked.hear);
    cluster.until("the fate of the call is told", () => asked.value !== null, 5_000);
    expect(asked.value).toEqual({ type: "not-executed" });
    cluster.network.options = options;
    cluster.network.retransmit();
    cluster.run(3_000);
    expect(cluster.lockStatus("a")).toBe("available");
  });

  test("a call that was told `nothing happened` does not happen later", () => {
    const cluster = ready();
    cluster.kill("n2");
    cluster.kill("n3");
    const { host } = cluster.member("n1");
    cluster.until("n1 has no leader", () => host.system?.leader() === null);
    cluster.restart("n2");
    const told = new Told<{ readonly outcome: Outcome; readonly leader: string | null | undefined }>();
    host.api.submit(acquire("a", "alice"), { timeoutMs: 50 }, (outcome) => told.hear({ outcome, leader: host.system?.leader() }));
    cluster.until("the call ends", () => told.value !== null, 1_000);
    // It ended before there was anybody who could have executed it.
    expect(told.value).toMatchObject({ outcome: { type: "unavailable" }, leader: null });
    cluster.until("a leader", () => cluster.leader() !== null, 3_000);
    cluster.run(2_000);
    expect(cluster.lockStatus("a")).toBe("available");
  });
});

import { describe, expect, test, vi } from "vitest";
import { Cluster, ready } from "./cluster.ts";

describe("links between nodes", () => {
  test("two addresses of one node do not break its links", () => {
    const cluster = new Cluster(1, (network, url) => {
      const main = network.transport(url);
      const alias = network.transport(`${url}.alias`);
      return {
        dial: (to, opened) => main.dial(to, opened),
        onAccept: (accept) => {
          main.onAccept(accept);
          alias.onAccept(accept);
        },
      };
    });
    const urls = ["http://n1", "http://n2", "http://n3"];
    // Listed by one name, registered under another.
    for (const [index, url] of urls.entries()) {
      cluster.add(`n${index + 1}`, url, { peers: urls.filter((other) => other !== url).map((other) => `${other}.alias`) });
    }
    cluster.untilReady();
    cluster.run(2_000);
    const closings = [...cluster.members.values()].map(({ host }) => vi.spyOn(host.hub, "closed"));
    cluster.run(60_000);
    const reasons = closings.flatMap(({ mock }) => mock.calls.map(([, reason]) => reason));
    // The other addresses were looked at meanwhile.
    expect(reasons).toContain("already connected by another address");
    expect(reasons.filter((reason) => reason.includes("replaced by a newer link"))).toEqual([]);
  });

  test("a member that vanished without a reset and came back is reached again", () => {
    const cluster = ready();
    cluster.run(300);
    const [victim] = cluster.roles().followers;
    const { options } = cluster.network;
    // Power cut: nobody is told.
    cluster.network.options = { fate: ({ type }) => ({ delaysMs: type === "close" ? [] : [0.2] }) };
    cluster.kill(victim.config.node);
    cluster.network.options = options;
    cluster.run(1_000);
    cluster.restart(victim.config.node);
    cluster.run(15_000);
    const { leader } = cluster.roles();
    expect(victim.host.system?.raft.leader).toBe(leader.config.node);
    expect(victim.host.system?.appliedIndex).toBe(leader.host.system?.appliedIndex);
  });
});

import { expect, test } from "vitest";
import { acquire, ready } from "./cluster.ts";

/** Only the leader has the timers (rule L1); any node can be asked how much of a lease is left. */
test("every node knows what is left of a lease, from the leader; null for what is not held, and when there is no leader to ask", () => {
  const cluster = ready();
  cluster.run(300);
  const { leader, followers } = cluster.roles();
  const granted = cluster.submit(leader.host.config.node, acquire("a", "alice"));
  const fence = granted.type === "answered" && granted.result.type === "granted" ? granted.result.fence : 0;
  const ask = ({ host }: (typeof followers)[number]): readonly (number | null)[] | null => {
    let answer: readonly (number | null)[] | null = null;
    host.api.leasesLeft(
      [
        { kind: "grant", id: fence },
        { kind: "grant", id: 999_999 },
      ],
      500,
      (left) => {
        answer = left;
      },
    );
    cluster.run(600);
    return answer;
  };
  for (const node of [leader, ...followers]) expect(ask(node)).toEqual([expect.any(Number), null]);
  cluster.kill(leader.host.config.node);
  expect(ask(followers[0])).toEqual([null, null]);
});

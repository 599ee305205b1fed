import { describe, expect, test } from "vitest";
import { acquire, Cluster, ready } from "./cluster.ts";

describe("a graceful stop", () => {
  test("gives every call under way an outcome", () => {
    const cluster = ready();
    cluster.submit("n1", acquire("a", "alice"));
    const waiting = cluster.begin("n2", acquire("a", "bob", { waitMs: 3_000 }), { timeoutMs: 5_000 });
    cluster.run(100);
    let stopped = false;
    cluster.member("n2").host.api.stop(() => {
      stopped = true;
    });
    cluster.run(10_000);
    expect(stopped).toBe(true);
    expect(waiting.value).not.toBeNull();
  });

  test("is answered also when asked for a second time", () => {
    const cluster = Cluster.of(1);
    cluster.until("a leader", () => cluster.leader() !== null);
    let answers = 0;
    const { api } = cluster.member("n1").host;
    for (let round = 0; round < 2; round += 1) {
      api.stop(() => {
        answers += 1;
      });
      cluster.run(1_000);
    }
    expect(answers).toBe(2);
  });
});

import { claimsStreamProtocol } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { cluster, connected, failure, until } from "./support.ts";

describe("loaders of several processes", () => {
  test("run one at a time: who waits reads what the first one stored, and is the next where it stored nothing", async () => {
    const fake = await cluster();
    const caches = await Promise.all([1, 2, 3].map(async () => (await connected(fake)).cache<number>("default")));
    let runs = 0;
    const finish: (() => void)[] = [];
    const loader = async (): Promise<number> => {
      runs += 1;
      await new Promise<void>((resolve) => finish.push(resolve));
      return 7;
    };
    const all = caches.map((cache) => cache.getOrLoad("k", loader));
    await until(() => fake.homes.waits === 2 && runs === 1, "two wait");
    finish[0]?.();
    expect(await Promise.all(all)).toEqual([7, 7, 7]);
    expect(runs).toBe(1);
    const failing = caches.map((cache, place) =>
      cache.getOrLoad("f", () => (place === 0 ? new Promise<number>((_, reject) => setTimeout(reject, 20, new Error("away"))) : place)),
    );
    expect(await failure(failing[0] as Promise<number>)).toMatchObject({ message: "away" });
    const [, second, third] = await Promise.all(failing.map((value) => value.catch(() => null)));
    expect(second).toBe(third);
  });

  test("a node of before them, and one that is gone, are not waited for", async () => {
    const fake = await cluster();
    const [first, second] = await Promise.all([1, 2].map(async () => (await connected(fake)).cache<number>("default")));
    const finish: (() => void)[] = [];
    const slow = first?.getOrLoad("k", () => new Promise<number>((resolve) => finish.push(() => resolve(1))));
    const waiting = second?.getOrLoad("k", () => 2);
    await until(() => fake.homes.waits === 1, "the second waits");
    fake.node(0).protocol = claimsStreamProtocol - 1;
    fake.node(0).cutConnections();
    expect(await waiting).toBe(2);
    finish[0]?.();
    // Its value was overtaken: what is stored stands.
    expect(await slow).toBe(2);
    expect(await second?.getOrLoad("other", () => 3)).toBe(3);
  });
});

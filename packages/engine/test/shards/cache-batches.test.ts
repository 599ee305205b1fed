import { expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { Caches } from "./cache-support.ts";

const nodes = ["n1", "n2", "n3"] as const;
const count = 50;

test("what a home withdraws in one turn goes to each holder in one frame", () => {
  const caches = new Caches();
  const home = caches.homeOf("a");
  const holders = nodes.filter((node) => node !== home);
  const keys: string[] = [];
  for (let number = 0; keys.length < count; number++) if (caches.homeOf(`k${number}`) === home) keys.push(`k${number}`);
  for (const key of keys) {
    caches.put(home, key, "1");
    caches.warm(key);
  }
  const copies = (): number[] => holders.map((node) => keys.filter((key) => caches.peek(node, key) !== undefined).length);
  expect(copies()).toEqual([count, count]);
  const { clock, network } = caches.cluster;
  const frames: { readonly to: string; readonly bytes: number }[] = [];
  network.options = {
    fate: ({ bytes, from, to, type }) => {
      if (type === "frame" && from.endsWith(home)) frames.push({ to, bytes });
      return { delaysMs: [5] };
    },
  };
  const told = keys.map((key) => {
    const answer = new Told<unknown>();
    caches.service(home).dropCopies("default", key, 10_000, answer.hear);
    return answer;
  });
  // All that is sent before anything of it arrives.
  clock.advance(1);
  expect(frames.map(({ to }) => to).sort()).toEqual(holders.map((node) => `http://${node}`));
  for (const { bytes } of frames) expect(bytes).toBeGreaterThan(keys.join("").length);
  for (const answer of told) caches.answer(answer);
  expect(copies()).toEqual([0, 0]);
});

import { expect, test } from "vitest";
import { Ghosts } from "../../src/eviction/ghosts.ts";
import { Prng } from "../../src/kernel/prng.ts";

test("ghosts are what an array of them would be, as they come, go and grow", () => {
  for (let seed = 1; seed <= 20; seed++) {
    const prng = new Prng(seed);
    const ghosts = new Ghosts(seed);
    const oldestFirst: number[] = [];
    const universe = prng.pick([10, 200, 2000]);
    for (let step = 0; step < 5000; step++) {
      const hash = prng.below(universe) - universe / 2;
      const at = oldestFirst.indexOf(hash);
      const roll = prng.next();
      if (roll < 0.6) {
        if (at >= 0) oldestFirst.splice(at, 1);
        oldestFirst.push(hash);
        ghosts.add(hash);
      } else if (roll < 0.85) {
        if (at >= 0) oldestFirst.splice(at, 1);
        expect(ghosts.forget(hash)).toBe(at >= 0);
      } else if (oldestFirst.length > 0) {
        oldestFirst.shift();
        ghosts.forgetOldest();
      }
      expect(ghosts.count).toBe(oldestFirst.length);
    }
    while (oldestFirst.length > 1) {
      const [oldest, next] = oldestFirst.splice(0, 2);
      ghosts.forgetOldest();
      expect([ghosts.forget(oldest as number), ghosts.forget(next as number)]).toEqual([false, true]);
    }
    if (oldestFirst.length === 1) ghosts.forgetOldest();
    expect(ghosts.count).toBe(0);
    expect(() => ghosts.forgetOldest()).toThrow("none is left");
  }
});

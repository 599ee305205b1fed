import { Prng } from "@trivet/core";
import type { Model, Operation, SimpleInput, SimpleOutput } from "@trivet/simulator";
import {
  checkLinearizable,
  checkPerKey,
  fencedModel,
  lockModel,
  mutexModel,
  permitsModel,
  reentrantFencedModel,
  reentrantModel,
  registerModel,
} from "@trivet/simulator";
import { describe, expect, it } from "vitest";

import { bruteForce } from "./brute-force.ts";
import { lockHistory, registerHistory, simpleLockHistory } from "./generate.ts";

const readOf = (value: string) =>
  ({ id: `r${value}`, input: { type: "read", key: "k" }, output: { value, applied: true }, call: 2, ret: 3 }) as const;
const grantOf = (id: string, mode: "shared" | "exclusive", call: number, fence: number) =>
  ({
    id,
    input: { type: "acquire", name: "l", owner: id, session: 1, mode, of: 0, reentrant: false },
    output: { type: "granted", fence, depth: 1 },
    call,
    ret: call + 1,
  }) as const;

const simple = (
  id: string,
  type: "acquire" | "release",
  client: string,
  call: number,
  ret: number | null,
  fence = 0,
  ok = true,
): Operation<SimpleInput, SimpleOutput> => ({
  id,
  input: { type, name: "l", client },
  output: ret === null ? null : { ok, fence },
  call,
  ret,
});
const verdict = <S, In, Out>(model: Model<S, In, Out>, operations: readonly Operation<In, Out>[]): string =>
  checkLinearizable(model, operations).type;

describe("hand-made histories", () => {
  it("refuses two owners of a mutex and accepts them one after the other", () => {
    const both = [simple("a", "acquire", "A", 0, 1), simple("b", "acquire", "B", 2, 3)];
    expect(verdict(mutexModel(), both)).toBe("illegal");
    expect(verdict(mutexModel(), [...both, simple("r", "release", "A", 0.5, 4)])).toBe("ok");
  });

  it("names the longest order and what could not follow", () => {
    const result = checkLinearizable(mutexModel(), [simple("a", "acquire", "A", 0, 1), simple("b", "acquire", "B", 2, 3)]);
    expect(result).toMatchObject({ type: "illegal", order: ["a"], blocked: ["b"] });
  });

  it("lets an unanswered operation happen at any later time, or never", () => {
    const lost = simple("r", "release", "A", 2, null);
    const later = [simple("a", "acquire", "A", 0, 1), lost, simple("b", "acquire", "B", 50, 60)];
    expect(verdict(mutexModel(), later)).toBe("ok");
    const never = [simple("a", "acquire", "A", 0, 1), lost, simple("r2", "release", "A", 50, 60)];
    expect(verdict(mutexModel(), never)).toBe("ok");
    const tooEarly = [simple("a", "acquire", "A", 0, 1), simple("b", "acquire", "B", 50, 60), simple("r", "release", "A", 70, null)];
    expect(verdict(mutexModel(), tooEarly)).toBe("illegal");
  });

  it("refuses a fence that does not rise, which the plain mutex cannot see", () => {
    const history = [simple("a", "acquire", "A", 0, 1, 7), simple("r", "release", "A", 2, 3), simple("b", "acquire", "B", 4, 5, 7)];
    expect(verdict(mutexModel(), history)).toBe("ok");
    expect(verdict(fencedModel(), history)).toBe("illegal");
  });

  it("allows re-entry by the owner up to the limit, with the same fence", () => {
    const twice = [simple("a", "acquire", "A", 0, 1, 3), simple("b", "acquire", "A", 2, 3, 3)];
    expect(verdict(mutexModel(), twice)).toBe("illegal");
    expect(verdict(reentrantModel(), twice)).toBe("ok");
    expect(verdict(reentrantModel(), [...twice, simple("c", "acquire", "A", 4, 5, 3)])).toBe("illegal");
    expect(verdict(reentrantFencedModel(), twice)).toBe("ok");
    expect(verdict(reentrantFencedModel(), [simple("a", "acquire", "A", 0, 1, 3), simple("b", "acquire", "A", 2, 3, 4)])).toBe("illegal");
  });

  it("counts permits", () => {
    const three = ["A", "B", "C"].map((client, i) => simple(client, "acquire", client, i * 2, i * 2 + 1));
    expect(verdict(permitsModel(3), three)).toBe("ok");
    expect(verdict(permitsModel(2), three)).toBe("illegal");
  });

  it("refuses a stale read of a register", () => {
    const write = {
      id: "w",
      input: { type: "write", key: "k", value: "1" },
      output: { value: "", applied: true },
      call: 0,
      ret: 1,
    } as const;
    expect(verdict(registerModel(), [write, readOf("1")])).toBe("ok");
    expect(verdict(registerModel(), [write, readOf("")])).toBe("illegal");
  });

  it("checks the full lock: readers together, a writer alone, an expiry frees", () => {
    const readers = [grantOf("a", "shared", 0, 1), grantOf("b", "shared", 2, 2)];
    expect(verdict(lockModel(), readers)).toBe("ok");
    expect(verdict(lockModel(), [...readers, grantOf("c", "exclusive", 4, 3)])).toBe("illegal");
    const ends = [1, 2].map(
      (fence) =>
        ({
          id: `end${fence}`,
          input: { type: "end", name: "l", fence },
          output: { type: "released", remaining: 0 },
          call: 3.2,
          ret: 3.4,
        }) as const,
    );
    expect(verdict(lockModel(), [...readers, ...ends, grantOf("c", "exclusive", 4, 3)])).toBe("ok");
    expect(verdict(lockModel(), [...readers, ...ends, grantOf("c", "exclusive", 4, 2)])).toBe("illegal");
  });

  it("says unknown when the budget runs out, and the per-key check fails the run for it", () => {
    const history = simpleLockHistory(5, { operations: 40, clients: 5, unknown: 0 }, 1);
    expect(checkLinearizable(mutexModel(), history, 3).type).toBe("unknown");
    expect(checkPerKey(mutexModel, history, (input) => input.name, 3)).toMatchObject({ invariant: "linearizable-undecided" });
    expect(checkPerKey(mutexModel, history, (input) => input.name)).toBeNull();
  });
});

describe("generated histories", () => {
  it("agrees with trying every order, on small histories with random corruption", () => {
    const verdicts = { ok: 0, illegal: 0 };
    for (let seed = 1; seed <= 1500; seed += 1) {
      const prng = new Prng(seed * 31);
      const shape = { operations: 7, clients: 4, unknown: 0.2 };
      const history = simpleLockHistory(seed, shape, 2).map((operation) => {
        if (operation.output === null || prng.chance(0.7)) return operation;
        const output = prng.chance(0.5) ? { ...operation.output, ok: !operation.output.ok } : { ...operation.output, fence: prng.below(4) };
        return { ...operation, output };
      });
      for (const model of [mutexModel(), fencedModel(), reentrantModel(), reentrantFencedModel()]) {
        const expected = bruteForce(model, history);
        expect(checkLinearizable(model, history).type, `seed ${seed} ${model.name}`).toBe(expected ? "ok" : "illegal");
        verdicts[expected ? "ok" : "illegal"] += 1;
      }
    }
    expect(verdicts.ok).toBeGreaterThan(500);
    expect(verdicts.illegal).toBeGreaterThan(500);
  });

  it("agrees with trying every order on small full-lock histories", () => {
    let illegal = 0;
    for (let seed = 1; seed <= 1000; seed += 1) {
      const prng = new Prng(seed * 17);
      const history = lockHistory(seed, { operations: 7, clients: 3, unknown: 0.15 }).map((operation) => {
        if (operation.output?.type !== "granted" || prng.chance(0.7)) return operation;
        return { ...operation, output: { ...operation.output, fence: prng.between(1, 6) } };
      });
      const expected = bruteForce(lockModel(), history);
      if (!expected) illegal += 1;
      expect(checkLinearizable(lockModel(), history).type, `seed ${seed}`).toBe(expected ? "ok" : "illegal");
    }
    expect(illegal).toBeGreaterThan(100);
  });

  it("accepts every valid long history", () => {
    for (let seed = 1; seed <= 60; seed += 1) {
      const shape = { operations: 300, clients: 5, unknown: 0.01 };
      expect(checkLinearizable(registerModel(), registerHistory(seed, shape)).type, `register ${seed}`).toBe("ok");
      expect(checkLinearizable(reentrantFencedModel(), simpleLockHistory(seed, shape, 2)).type, `lock ${seed}`).toBe("ok");
      expect(checkLinearizable(lockModel(), lockHistory(seed, shape)).type, `full lock ${seed}`).toBe("ok");
    }
  });

  it("refuses a long register history with one read of a value never written there", () => {
    let corrupted = 0;
    for (let seed = 1; seed <= 40; seed += 1) {
      const history = registerHistory(seed, { operations: 120, clients: 4, unknown: 0 });
      const reads = history.filter((operation) => operation.input.type === "read");
      const victim = reads.at(-1);
      if (victim === undefined) continue;
      corrupted += 1;
      const broken = history.map((operation) =>
        operation === victim ? { ...operation, output: { value: "never", applied: true } } : operation,
      );
      expect(checkLinearizable(registerModel(), broken).type, `seed ${seed}`).toBe("illegal");
    }
    expect(corrupted).toBeGreaterThan(30);
  });

  it("refuses a long lock history in which one late grant repeats an early fence", () => {
    for (let seed = 1; seed <= 40; seed += 1) {
      const history = lockHistory(seed, { operations: 200, clients: 4, unknown: 0 });
      const grants = history.filter(
        (operation) => operation.output?.type === "granted" && operation.output.depth === 1 && operation.input.type === "acquire",
      );
      const early = grants[0]?.output;
      const victim = grants.at(-1);
      if (early?.type !== "granted") throw new Error("the history has no grant");
      const broken = history.map((operation) => (operation === victim ? { ...operation, output: early } : operation));
      expect(checkLinearizable(lockModel(), broken).type, `seed ${seed}`).toBe("illegal");
    }
  });
});

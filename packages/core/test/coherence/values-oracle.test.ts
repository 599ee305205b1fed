import { decodeUtf8, encodeUtf8, type WriteCondition } from "@trivet/wire";
import { expect, test } from "vitest";
import { Prng } from "../../src/kernel/prng.ts";
import { namespace, ValueBench } from "./support/value-bench.ts";

interface Value {
  readonly version: number;
  readonly text: string | null;
  readonly tags: readonly string[];
  readonly endsAt: number;
}

/** The same as plainly as it can be said: a map, and everything by looking at all of it. */
class Oracle {
  now = 1000;
  version = 0;
  values = new Map<string, Value>();

  put(key: string, text: string | null, tags: readonly string[], ttlMs: number, condition: WriteCondition): string {
    const known = this.values.get(key);
    const isThere = known !== undefined && known.text !== null;
    if (condition.type === "absent" && isThere) return `exists ${known.version}`;
    if (condition.type === "present" && !isThere) return `absent ${known?.version ?? 0}`;
    if (condition.type === "version" && condition.version !== (known?.version ?? 0)) return `version ${known?.version ?? 0}`;
    this.values.set(key, { version: ++this.version, text, tags, endsAt: ttlMs === 0 ? 0 : this.now + ttlMs });
    return `written ${this.version}`;
  }

  remove(key: string): string {
    this.version++;
    return `deleted ${this.values.delete(key) ? this.version : 0}`;
  }

  increment(key: string, by: number): string {
    const known = this.values.get(key);
    const isThere = known !== undefined && known.text !== null;
    const number = (isThere ? Number(known.text) : 0) + by;
    const kept = isThere ? known : { tags: [], endsAt: 0 };
    this.values.set(key, { version: ++this.version, text: String(number), tags: kept.tags, endsAt: kept.endsAt });
    return `written ${this.version}`;
  }

  invalidate(tag: string): void {
    this.version++;
    for (const [key, { tags }] of this.values) if (tag === "" || tags.includes(tag)) this.values.delete(key);
  }

  expire(): void {
    const due = [...this.values].filter(([, { endsAt }]) => endsAt > 0 && endsAt <= this.now);
    this.version += due.length;
    for (const [key] of due) this.values.delete(key);
  }
}

test("the shard's values are what a plain map says, whatever is asked in whatever order", () => {
  for (let seed = 1; seed <= 30; seed++) play(new Prng(seed));
});

function play(random: Prng): void {
  const bench = new ValueBench({}, { clearedPerEntry: random.between(1, 3) });
  const oracle = new Oracle();
  const keys = ["a", "b", "c", "d", "e"];
  for (let step = 0; step < 300; step++) {
    const key = random.pick(keys);
    const tags = ["s", "t"].filter(() => random.chance(0.4));
    const ttlMs = random.pick([0, 0, 30, 60]);
    switch (random.below(8)) {
      case 0:
      case 1:
      case 2: {
        const text = random.pick([null, "1", "2", "3"]);
        const version = random.chance(0.5) ? (oracle.values.get(key)?.version ?? 0) : random.below(oracle.version + 1);
        const condition = random.pick<WriteCondition>([
          { type: "always" },
          { type: "absent" },
          { type: "present" },
          { type: "version", version },
        ]);
        const value = text === null ? null : encodeUtf8(text);
        expect(said(bench.put(key, text, { value, tags, ttlMs, condition }))).toBe(oracle.put(key, text, tags, ttlMs, condition));
        break;
      }
      case 3:
        expect(said(bench.remove(key))).toBe(oracle.remove(key));
        break;
      case 4: {
        const by = random.between(-3, 3);
        expect(said(bench.increment(key, by))).toBe(oracle.increment(key, by));
        break;
      }
      case 5: {
        const tag = random.pick(["s", "t", ""]);
        bench.invalidate(tag);
        oracle.invalidate(tag);
        break;
      }
      case 6:
        bench.now += random.between(1, 40);
        oracle.now = bench.now;
        break;
      default: {
        // What an invalidation has ended may still lie there, and ends once more: that takes a version, too.
        const before = bench.shard.value(namespace, key, bench.now).record.asOf;
        bench.expire();
        oracle.expire();
        oracle.version = bench.record(key).asOf;
        expect(oracle.version).toBeGreaterThanOrEqual(before);
      }
    }
    bench.check();
    for (const name of keys) {
      const { value, version } = bench.record(name);
      const known = oracle.values.get(name);
      expect([version, value === null ? null : decodeUtf8(value)]).toEqual([known?.version ?? 0, known?.text ?? null]);
    }
  }
}

function said(answer: ReturnType<ValueBench["do"]>): string {
  if (answer.type === "cache-written") return `written ${answer.version}`;
  if (answer.type === "cache-deleted") return `deleted ${answer.version}`;
  if (answer.type === "cache-conflict") return `${answer.reason} ${answer.version}`;
  return answer.type;
}

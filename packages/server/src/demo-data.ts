import { setTimeout as pause } from "node:timers/promises";
import { defaultNamespace, type CacheApi, type CacheFailure, type CacheWritten } from "@trivet/engine";
import type { HttpLog } from "./http/context.ts";

/** What the documents read before anybody has written anything: `item:123`, and its neighbours. */
export const demoData: Readonly<Record<string, unknown>> = {
  "item:121": { id: 121, name: "Trivet, cast iron", price: 24.5, stock: 3 },
  "item:122": { id: 122, name: "Trivet, cork", price: 7.9, stock: 12 },
  "item:123": { id: 123, name: "Trivet, olive wood", price: 18, stock: 5 },
};

const timeoutMs = 5_000;
const firstPauseMs = 200;
const longestPauseMs = 5_000;

const encoder = new TextEncoder();

function store(cache: CacheApi, key: string, value: unknown): Promise<CacheWritten | CacheFailure> {
  const request = {
    namespace: defaultNamespace,
    key,
    value: encoder.encode(JSON.stringify(value)),
    tags: ["demo"],
    ttlMs: 0,
    condition: { type: "absent" },
    token: null,
    ifFence: null,
  } as const;
  return new Promise((resolve) => cache.put(request, { timeoutMs }, resolve));
}

function drop(cache: CacheApi, key: string): Promise<void> {
  return new Promise((resolve) => cache.dropCopies(defaultNamespace, key, timeoutMs, () => resolve()));
}

/** Tries again for as long as nobody can say. Null = it is there; else why it cannot be. Rejects when it is told to stop. */
async function storeOnce(cache: CacheApi, key: string, value: unknown, signal: AbortSignal): Promise<string | null> {
  for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(longestPauseMs, pauseMs * 2)) {
    const outcome = await store(cache, key, value);
    // The documents say that a first read comes from the database: the writer keeps no copy.
    if (outcome.type === "written") await drop(cache, key);
    if (outcome.type === "written" || outcome.type === "conflict") return null;
    if (outcome.type !== "unavailable" && outcome.type !== "unknown") return outcome.type;
    await pause(pauseMs, undefined, { signal, ref: false });
  }
}

/**
 * Stores the sample values that are not there (SEED_DEMO_DATA). Every node that is told to does it: what is there is left alone, so the second
 * one changes nothing. Tries until there is a leader; returns how to stop.
 */
export function seedDemoData(cache: CacheApi, log: HttpLog): () => void {
  const ended = new AbortController();
  const { signal } = ended;
  const run = async (): Promise<void> => {
    for (const [key, value] of Object.entries(demoData)) {
      const problem = await storeOnce(cache, key, value, signal);
      if (problem !== null) return log.log("warn", "cache.demo-data", `sample values were not stored: ${problem}`, { reason: problem });
    }
    return log.log("debug", "cache.demo-data", `sample values are there: ${Object.keys(demoData).join(", ")}`);
  };
  run().catch((error: unknown) => {
    if (!signal.aborted) log.log("error", "cache.demo-data", `sample values were not stored: ${String(error)}`);
  });
  return () => ended.abort();
}

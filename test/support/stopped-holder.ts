import { writeSync } from "node:fs";
import { connect } from "@trivet/client";
import { SharedNumbers } from "./cache-rounds.ts";

/**
 * A program that reads its own copy without ever letting the event loop turn, so that no message and no timer can tell it anything: a test stops it in the midst
 * of that (SIGSTOP) for longer than its lease, and lets it go on. What protects it then is nothing but its own look at the clocks, at each read.
 */
export interface StoppedHolderSettings {
  readonly urls: readonly string[];
  readonly file: string;
  readonly key: string;
  /** A guard that is switched off, to show that this program can find what it looks for. */
  readonly mutant: string | null;
}

/** What one turn of reading found. */
export interface Spell {
  /** The copy was readable up to the stop: else the lease was over before it, and nothing was tried. */
  readonly heldBefore: boolean;
  /** Of the reads after it, all of the same turn. */
  readonly reads: number;
  readonly hits: number;
  readonly stale: number;
}

const readsAfter = 2_000;
/** Nobody stops this program: it must not spin for ever. */
const longestMs = 30_000;

const settings = JSON.parse(process.argv[2] ?? "") as StoppedHolderSettings;
if (settings.mutant !== null) {
  const { activateMutants } = (await import("@trivet/core/mutation")) as { activateMutants?: (names: readonly string[]) => void };
  if (activateMutants === undefined) throw new Error("mutants exist with --conditions=mutants only");
  activateMutants([settings.mutant]);
}
const shared = new SharedNumbers(settings.file, 1);
const connection = await connect(settings.urls, { commandTimeoutMs: 60_000, connectTimeoutMs: 60_000 });
const cache = connection.cache<number>("default");

/** Not by way of the event loop, which does not turn. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

function spell(): Spell {
  const known = shared.acknowledged(0);
  const endsAt = performance.now() + longestMs;
  // Of the last two reads before it, since the stop may come in the midst of one: that one is then rightly answered by nothing.
  let heldBefore = false;
  let heldLast = false;
  let reads = 0;
  let hits = 0;
  let stale = 0;
  say("reading");
  while (reads < readsAfter) {
    // First what was acknowledged, then the read: it began after the acknowledgement.
    const acknowledged = shared.acknowledged(0);
    const copy = cache.peek(settings.key);
    if (acknowledged === known) {
      heldBefore = heldLast || copy !== undefined;
      heldLast = copy !== undefined;
      if (performance.now() > endsAt) throw new Error("nobody stopped this program");
      continue;
    }
    reads++;
    if (copy !== undefined) hits++;
    if (copy !== undefined && (copy.value ?? 0) < acknowledged) stale++;
  }
  return { heldBefore, reads, hits, stale };
}

for (;;) {
  while (cache.peek(settings.key) === undefined) {
    await cache.get(settings.key);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  say(JSON.stringify(spell()));
  const { value } = await cache.get(settings.key);
  if (settings.mutant === null && (value ?? 0) < shared.acknowledged(0)) throw new Error(`a read with a promise gave ${value}`);
}

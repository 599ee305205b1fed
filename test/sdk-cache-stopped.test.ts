import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { connect, type TrivetConnection } from "@trivet/client";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { SharedNumbers } from "./support/cache-rounds.ts";
import { startCluster, type TestCluster } from "./support/cluster.ts";
import { repository, start, type Started } from "./support/processes.ts";
import type { Spell, StoppedHolderSettings } from "./support/stopped-holder.ts";
import { ready, waitFor } from "./support/wait.ts";

const script = fileURLToPath(new URL("support/stopped-holder.ts", import.meta.url));
const key = "stopped";
/** Stops that count: the copy was readable up to the stop. After each the program is barred for twice as long (rule M6). */
const wanted = 2;
const attempts = 8;
const timeoutMs = 400_000;

describe("a program with a near cache that is stopped in the midst of its reads, and goes on in the same turn", () => {
  let cluster: TestCluster;
  let writer: TrivetConnection;
  let shared: SharedNumbers;
  let holder: Started | null = null;

  beforeEach(async () => {
    cluster = await startCluster({ nodes: 3 });
    writer = await connect(cluster.nodes.map(({ url }) => url));
    const file = join(cluster.folder, "acknowledged");
    writeFileSync(file, "");
    shared = new SharedNumbers(file, 1);
  });
  afterEach(async (test) => {
    holder?.signal("SIGKILL");
    await holder?.exited;
    holder = null;
    await writer.close();
    shared.close();
    await cluster.destroy(test);
  });

  /** Stops the program again and again while another one writes; gives what it read after each stop that hit a readable copy. */
  async function stops(mutant: string | null, enough: (spells: readonly Spell[]) => boolean): Promise<readonly Spell[]> {
    const cache = writer.cache<number>("default", { maxEntries: 0 });
    await cache.set(key, 0);
    const settings: StoppedHolderSettings = {
      urls: cluster.nodes.map(({ url }) => url),
      file: join(cluster.folder, "acknowledged"),
      key,
      mutant,
    };
    const conditions = mutant === null ? ["--conditions=source"] : ["--conditions=mutants", "--conditions=source"];
    const own = start(process.execPath, [...conditions, "--import", "tsx", script, JSON.stringify(settings)], { cwd: repository });
    holder = own;
    const lines = (): readonly string[] => own.output().split("\n").slice(0, -1);
    const line = (number: number): Promise<string> =>
      waitFor(
        `line ${number + 1} of the program`,
        () => {
          const said = lines()[number];
          if (said !== undefined) return ready(said);
          if (own.hasExited()) throw new Error(`it ended: ${own.output()}`);
          return "not yet";
        },
        { deadlineMs: 90_000, everyMs: 2 },
      );
    const counted: Spell[] = [];
    for (let attempt = 0; attempt < attempts && !enough(counted); attempt++) {
      expect(await line(2 * attempt)).toBe("reading");
      own.signal("SIGSTOP");
      // Answered when the stopped program's lease is over, not before: it may have a copy.
      await cache.set(key, attempt + 1, { timeoutMs: 60_000 });
      shared.acknowledge(0, attempt + 1);
      own.signal("SIGCONT");
      const spell = JSON.parse(await line(2 * attempt + 1)) as Spell;
      expect(spell.reads).toBeGreaterThan(0);
      if (spell.heldBefore) counted.push(spell);
    }
    return counted;
  }

  it(
    "not one read is answered by the expired copy, though nothing has told the program that time has passed",
    async () => {
      const spells = await stops(null, (some) => some.length >= wanted);
      expect(spells.length).toBeGreaterThanOrEqual(wanted);
      for (const spell of spells) expect(spell).toMatchObject({ hits: 0, stale: 0 });
    },
    timeoutMs,
  );

  it(
    "and would be, if the clocks were not looked at: the test can fail",
    async () => {
      const spells = await stops("coherence-lapsed-copy-read", (some) => some.some(({ stale }) => stale > 0));
      expect(spells.some(({ stale }) => stale > 0)).toBe(true);
    },
    timeoutMs,
  );
});

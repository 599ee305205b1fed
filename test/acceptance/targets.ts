import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { existsSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { containersIn, hasEngine, type Containers } from "../support/containers.ts";
import { isUp, startDev, type Dev } from "../support/dev.ts";
import type { Curl, Place } from "../support/document-checks.ts";
import { repository } from "../support/processes.ts";
import { childrenOf, runVerbatim } from "../support/shell.ts";

/** A running cluster of three nodes that the documents' commands are tried on. */
export interface Target {
  readonly curl: Curl;
  readonly places: readonly Place[];
  /** What an acknowledged message rests on, and how many copies a node keeps: the Compose file has Redis and S0's 128. */
  readonly ack: "quorum" | "primary";
  readonly copies: number;
  /** Where `logs/` is. */
  readonly folder: string;
}

/** The same tests on what `npm start` runs and, where there is an engine, on S0's containers. */
export function onEveryTarget(tests: (target: () => Target) => void): void {
  describe("npm start", () => {
    let dev: Dev;
    let folder: string;
    let target: Target;
    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), "trivet-acceptance-"));
      dev = await startDev(folder);
      await isUp(dev);
      const places = dev.ports.map((port, index) => ({ port, url: dev.url(index) }));
      target = { curl: (command) => runVerbatim(command, dev.mapped, folder), places, ack: "quorum", copies: 10_000, folder };
    });
    afterAll(async () => {
      for (const child of childrenOf(dev.launcher.pid)) process.kill(child, "SIGKILL");
      dev.launcher.signal("SIGKILL");
      await dev.launcher.exited;
      rmSync(folder, { recursive: true, force: true });
    });
    tests(() => target);
  });
  inContainers((containers) => {
    beforeAll(() => containers().up());
    tests(() => {
      const { curl, folder } = containers();
      return {
        curl,
        places: [1, 2, 3].map((n) => ({ port: 8000 + n, url: `http://node${n}:${8000 + n}` })),
        ack: "primary",
        copies: 128,
        folder,
      };
    });
  });
}

/** Tests that need an engine; skipped loudly without one. */
export function inContainers(tests: (containers: () => Containers) => void): void {
  describe.skipIf(!hasEngine)("containers", { timeout: 900_000 }, () => {
    let containers: Containers;
    beforeAll(() => {
      containers = containersIn(inject("clone"));
    });
    tests(() => containers);
  });
}

/**
 * Takes the tests of another file. Where they belong to a part of the system that this version does not have yet, that part is named as missing,
 * and counted.
 */
export function testsOf(what: string, path: string): void {
  const file = join(repository, path);
  const isThere = existsSync(file);
  // Its hooks are for its own tests.
  if (isThere) {
    describe(what, async () => {
      await import(/* @vite-ignore */ file);
    });
  }
  it.skipIf(!isThere)(`MISSING unless ${path} is there: ${what}`, () => expect(existsSync(file)).toBe(true));
}

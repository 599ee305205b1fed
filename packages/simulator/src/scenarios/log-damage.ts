import { groupId, logIndex, nodeId, term } from "@trivet/core";
import { MemoryClock, MemoryFiles, NullTelemetry, openWal, type WalOpened } from "@trivet/engine";

import { SimCrypto } from "../world/crypto.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const group = groupId(0);
const votes = 12;

/** Rule W6: a log that is damaged in the middle gives up its vote, but never the memory of terms and votes that stand behind the damage. */
export const logDamage: Scenario = scenario("log-damage", () => {
  const clock = new MemoryClock();
  const files = new MemoryFiles(clock);
  const open = (mustExist: boolean): WalOpened => {
    let opened: WalOpened | null = null;
    const ports = { files, clock, crypto: new SimCrypto(), telemetry: new NullTelemetry() };
    openWal(
      ports,
      { directory: "wal", segmentBytes: 100_000, roomBytes: 0, mustExist },
      () => undefined,
      (_error, value) => {
        opened = value;
      },
    );
    clock.runUntilIdle(() => opened !== null);
    expect(opened !== null, "log-opens", () => "the log does not open");
    return opened;
  };
  const { wal } = open(false);
  for (let i = 1; i <= votes; i += 1) {
    const hardState = { term: term(i), vote: nodeId("a") };
    const payload = Uint8Array.from({ length: 40 }, () => i);
    const entry = { index: logIndex(i), term: term(i), kind: "command", payload } as const;
    // One by one: each is a batch of its own.
    wal.write({ group, hardState, truncateFrom: logIndex(0), append: [entry], commit: logIndex(0) }, () => undefined);
    clock.runUntilIdle();
  }
  files.endProcess();
  const [path] = files.paths().filter((name) => name.endsWith(".wal"));
  expect(path !== undefined, "log-opens", () => "there is no segment");
  files.flipBit(path, Math.floor((files.contents(path)?.length ?? 0) / 3), 2);
  const { groups, findings } = open(true);
  const found = groups.get(group);
  expect(findings.length > 0 && found?.mayVote === false, "log-durable", () => `the damage went unnoticed: ${JSON.stringify(findings)}`);
  expect(
    found?.hardState.term === votes,
    "log-hard-state",
    () => `the vote of term ${votes} is forgotten: ${JSON.stringify(found?.hardState)}`,
  );
});

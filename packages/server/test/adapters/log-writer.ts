import { groupId, logIndex, term } from "@trivet/core";
import { NullTelemetry, openWal } from "@trivet/engine";
import { NodeClock } from "../../src/adapters/clock.ts";
import { NodeCrypto } from "../../src/adapters/crypto.ts";
import { NodeFiles } from "../../src/adapters/files.ts";

// Appends to the log of a directory as fast as it can, and tells the parent what is durable, until it is killed.
const ports = {
  files: new NodeFiles(process.argv[2] ?? ""),
  clock: new NodeClock(),
  crypto: new NodeCrypto(),
  telemetry: new NullTelemetry(),
};
const fail = (error: Error | null): never => {
  throw error ?? new Error("no log");
};
openWal(ports, { directory: "wal", segmentBytes: 100_000 }, fail, (error, opened) => {
  if (opened === null) return fail(error);
  const group = groupId(0);
  let next = (opened.groups.get(group)?.entries.length ?? 0) + 1;
  const write = (): void => {
    const index = next++;
    const entry = {
      index: logIndex(index),
      term: term(1),
      kind: "command",
      payload: new Uint8Array(50 + (index % 3000)).fill(index),
    } as const;
    opened.wal.write({ group, hardState: null, truncateFrom: logIndex(0), append: [entry], commit: logIndex(0) }, () => {
      process.send?.(index);
      write();
    });
  };
  for (let i = 0; i < 8; i++) write();
});
process.on("disconnect", () => process.exit());

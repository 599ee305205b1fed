import { type Entry, groupId, logIndex, type Membership, nodeId, term } from "@trivet/core";
import {
  defaultHostConfig,
  MemoryClock,
  MemoryCrypto,
  MemoryFiles,
  MemoryNetwork,
  MemoryPacking,
  MemoryRandom,
  MemoryTelemetry,
  type Ports,
} from "@trivet/engine";
import type { ClusterIdentity } from "../../src/members/bootstrap.ts";
import { type OpenedSystem, openSystemLog } from "../../src/node/open.ts";
import { SystemMachine, systemFactory } from "../../src/groups/system-machine.ts";
import { Told } from "./cluster.ts";

const identityOf = (founders: readonly string[]): ClusterIdentity => ({
  format: 1,
  cluster: "c",
  node: "n1",
  storage: "n1",
  shards: 1,
  founders: founders.map((node) => ({ node, storage: node, url: "", roles: "" })),
});

export function noop(index: number, ofTerm: number): Entry {
  return { index: logIndex(index), term: term(ofTerm), kind: "noop", payload: new Uint8Array(0) };
}

function fail(error: Error): void {
  throw error;
}

/** The data directory of one node, opened and closed as its restarts do. */
export class Directory {
  readonly files: MemoryFiles;
  private readonly clock = new MemoryClock();
  private readonly ports: Ports;
  private readonly members: readonly string[];

  constructor(members: readonly string[] = ["n1", "n2", "n3"]) {
    this.members = members;
    const view = this.clock.view();
    this.files = new MemoryFiles(view, { latencyMs: () => 0.1 });
    this.ports = {
      clock: view,
      crypto: new MemoryCrypto(),
      files: this.files,
      packing: new MemoryPacking(),
      random: new MemoryRandom(1),
      telemetry: new MemoryTelemetry(),
      transport: new MemoryNetwork(this.clock).transport("http://n1"),
    };
  }

  open(mustExist: boolean): OpenedSystem {
    const opened = this.tryOpen(mustExist);
    if (opened instanceof Error) fail(opened);
    return opened as OpenedSystem;
  }

  tryOpen(mustExist: boolean): OpenedSystem | Error {
    const told = new Told<OpenedSystem | Error>();
    const config = { ...defaultHostConfig, node: "n1", url: "http://n1", peers: [] };
    openSystemLog(this.ports, config, identityOf(this.members), mustExist, systemFactory, fail, (error, opened) => {
      if (error !== null) told.hear(error);
      if (opened !== null) told.hear(opened);
    });
    this.clock.advance(1_000);
    if (told.value === null) throw new Error("the log was not opened");
    return told.value;
  }

  close(log: OpenedSystem): void {
    this.done("close", (then) => log.wal.close(then));
  }

  append(log: OpenedSystem, entries: readonly Entry[], inTerm: number, commit: number = 0): void {
    const hardState = { term: term(inTerm), vote: null };
    this.done("append", (then) =>
      log.wal.write({ group: groupId(0), hardState, truncateFrom: logIndex(0), append: entries, commit: logIndex(commit) }, then),
    );
  }

  /** The log holds nothing up to the snapshot's index any more. */
  trim(log: OpenedSystem, index: number, lastTerm: number): void {
    const membership = this.membership();
    const at = { group: groupId(0), index: logIndex(index), term: term(lastTerm), membership, membershipIndex: logIndex(0) };
    this.done("floor", (then) => log.wal.setFloor({ ...at, keepFrom: logIndex(index + 1) }, then));
  }

  trust(log: OpenedSystem): void {
    this.done("trust", (then) => log.wal.trust(groupId(0), then));
  }

  private membership(): Membership {
    return { voters: this.members.map(nodeId), outgoing: [], learners: [], learnersNext: [], autoLeave: false };
  }

  /** An empty state machine's snapshot. */
  snapshot(log: OpenedSystem, index: number, lastTerm: number): void {
    const writer = log.snapshots.create({
      id: `s${index}`,
      index: logIndex(index),
      term: term(lastTerm),
      membership: this.membership(),
      membershipIndex: logIndex(0),
    });
    const cut = new SystemMachine().state.beginSnapshot();
    for (let chunk = cut.next(65_536); chunk !== null; chunk = cut.next(65_536)) {
      const bytes = chunk;
      this.done("snapshot chunk", (then) => writer.write(bytes, then));
    }
    this.done("snapshot", (then) => writer.finish(() => then()));
  }

  private done(what: string, run: (then: () => void) => void): void {
    let done = false;
    run(() => {
      done = true;
    });
    this.clock.advance(100);
    if (!done) throw new Error(`${what} did not finish`);
  }
}

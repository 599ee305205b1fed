import { groupId, logIndex, type Membership, nodeId, Prng, type SnapshotMeta, term } from "@trivet/core";
import {
  type ClockView,
  type IoError,
  MemoryClock,
  MemoryFiles,
  NullTelemetry,
  openSnapshotStore,
  type SnapshotStoreApi,
} from "@trivet/engine";

import { SimCrypto } from "../world/crypto.ts";
import { expect, type Scenario, scenario } from "./scenario.ts";

const rounds = 60;
const membership: Membership = { voters: [nodeId("a")], outgoing: [], learners: [], learnersNext: [], autoLeave: false };

/**
 * Two snapshot stores, one sending to the other: snapshots taken, sent in pieces with changes of mind in between, power lost, bits
 * rotten. What opens is whole and what was written; what was finished stays; what is damaged is refused.
 */
export const snapshotRandom: Scenario = scenario("snapshot-random", () => {
  for (let seed = 1; seed <= rounds; seed += 1) new Exchange(seed).play();
});

/** A store that comes and goes on one disk. */
class Disk {
  readonly clock: MemoryClock;
  readonly files: MemoryFiles;
  store: SnapshotStoreApi | null = null;
  fatal: IoError | null = null;
  private life: ClockView;

  constructor(clock: MemoryClock) {
    this.clock = clock;
    this.life = clock.view();
    this.files = new MemoryFiles(this.life, {
      latencyMs: ({ type }) => (type === "write" || type === "sync" || type === "write-durable" ? 1 : 0),
    });
  }

  open(): SnapshotStoreApi {
    let opened: SnapshotStoreApi | null = null;
    const ports = { files: this.files, clock: this.life, crypto: new SimCrypto(), telemetry: new NullTelemetry() };
    openSnapshotStore(
      ports,
      { directory: "snapshots/0", group: groupId(0) },
      (error) => {
        this.fatal = error;
      },
      (_error, store) => {
        opened = store;
      },
    );
    this.clock.runUntilIdle(() => opened !== null);
    expect(opened !== null, "snapshots-open", () => "the store does not open");
    this.store = opened;
    return opened;
  }

  crash(prng: Prng): void {
    this.life.kill();
    this.life = this.clock.view();
    this.files.clock = this.life;
    this.files.crash(prng);
    this.store = null;
  }
}

class Exchange {
  private readonly seed: number;
  private readonly prng: Prng;
  private readonly clock = new MemoryClock();
  private readonly sender = new Disk(this.clock);
  private readonly receiver = new Disk(this.clock);
  /** What each finished snapshot holds. */
  private readonly contents = new Map<string, string>();
  private index = 0;
  /** Newest index that was reported finished or adopted, per disk. */
  private readonly safe = new Map<Disk, number>();

  constructor(seed: number) {
    this.seed = seed;
    this.prng = new Prng(seed);
  }

  play(): void {
    this.sender.open();
    this.receiver.open();
    for (let i = 0; i < 12; i += 1) {
      this.take();
      const newest = this.sender.store?.latest() ?? null;
      if (newest !== null && this.prng.chance(0.7)) this.send(newest);
      for (const disk of [this.sender, this.receiver]) if (this.prng.chance(0.3)) this.restart(disk);
      this.inspect(this.sender);
      this.inspect(this.receiver);
    }
  }

  private take(): void {
    const store = this.sender.store as SnapshotStoreApi;
    this.index += this.prng.between(1, 5);
    const id = `s${this.seed}-${this.index}`;
    const writer = store.create({ id, index: logIndex(this.index), term: term(1), membership, membershipIndex: logIndex(0) });
    const chunks = Array.from({ length: this.prng.between(1, 5) }, (_, i) => `${id}:${i}:${"x".repeat(this.prng.below(900))};`);
    let finished: SnapshotMeta | null = null;
    const step = (i: number): void => {
      const chunk = chunks[i];
      if (chunk === undefined) {
        writer.finish((meta) => {
          finished = meta;
        });
        return;
      }
      writer.write(
        Uint8Array.from(chunk, (character) => character.charCodeAt(0)),
        () => this.clock.defer(() => step(i + 1)),
      );
    };
    step(0);
    this.contents.set(id, chunks.join(""));
    const halfWay = this.prng.chance(0.2) ? this.prng.below(12) : null;
    if (halfWay === null) {
      this.clock.runUntilIdle(() => finished !== null);
      this.safe.set(this.sender, this.index);
      // Power may go at this very moment: finished means durable.
      if (this.prng.chance(0.3)) this.restart(this.sender);
      return;
    }
    for (let steps = halfWay; steps > 0; steps -= 1) this.clock.step();
    this.restart(this.sender);
  }

  /** In pieces; sometimes another snapshot begins in the middle, and the pieces that follow belong to that one. */
  private send(meta: SnapshotMeta): void {
    const store = this.receiver.store as SnapshotStoreApi;
    const older = this.sender.store?.kept().find((other) => other.id !== meta.id) ?? null;
    if (older !== null && this.prng.chance(0.5)) {
      const first = this.piece(older, 0, this.prng.between(20, 200));
      if (!first.end) {
        this.receive(store, older, 0, first.data, false);
        // A sender that believes the transfer goes on, with another snapshot: the receiver must start it afresh.
        const offset = first.data.length;
        const second = this.piece(meta, offset, 5);
        const { durable } = this.receive(store, meta, offset, second.data, second.end);
        expect(durable === 0, "snapshot-chunks-mixed", () => `seed ${this.seed}: a piece of ${meta.id} was added to ${older.id}`);
      }
    }
    let offset = 0;
    for (let tries = 0; tries < 60; tries += 1) {
      const { data, end } = this.piece(meta, offset, this.prng.between(30, 400));
      const { durable, failed } = this.receive(store, meta, offset, data, end);
      if (end && !failed && durable === offset + data.length) {
        this.adopt(store, meta);
        return;
      }
      offset = failed ? 0 : durable;
    }
    expect(false, "snapshot-transfer-ends", () => `seed ${this.seed}: ${meta.id} never arrives`);
  }

  private piece(meta: SnapshotMeta, offset: number, length: number): { readonly data: Uint8Array; readonly end: boolean } {
    let got: { readonly data: Uint8Array; readonly end: boolean } | null = null;
    this.sender.store?.readBytes(meta.id, offset, length, (data, end) => {
      got = { data: data ?? new Uint8Array(0), end };
    });
    this.clock.runUntilIdle(() => got !== null);
    return got ?? { data: new Uint8Array(0), end: false };
  }

  private receive(
    store: SnapshotStoreApi,
    meta: SnapshotMeta,
    offset: number,
    data: Uint8Array,
    last: boolean,
  ): { durable: number; failed: boolean } {
    let answer: { durable: number; failed: boolean } | null = null;
    store.receive(meta, offset, data, last, (durable, failed) => {
      answer = { durable, failed };
    });
    this.clock.runUntilIdle(() => answer !== null);
    return answer ?? { durable: 0, failed: true };
  }

  private adopt(store: SnapshotStoreApi, meta: SnapshotMeta): void {
    let done = false;
    let failure: IoError | null = null;
    store.adopt(meta, (error) => {
      failure = error;
      done = true;
    });
    this.clock.runUntilIdle(() => done);
    expect(failure === null, "snapshot-adopted", () => `seed ${this.seed}: ${meta.id}: ${String(failure)}`);
    this.safe.set(this.receiver, Math.max(meta.index, this.safe.get(this.receiver) ?? 0));
    if (this.prng.chance(0.3)) this.restart(this.receiver);
  }

  private restart(disk: Disk): void {
    disk.crash(this.prng.fork());
    const rots = this.prng.chance(0.15);
    const snapshots = disk.files.paths().filter((path) => path.endsWith(".snap"));
    if (rots && snapshots.length > 0) {
      const path = this.prng.pick(snapshots);
      disk.files.flipBit(path, this.prng.below(disk.files.contents(path)?.length ?? 1), this.prng.below(8));
    }
    const store = disk.open();
    const newest = store.latest()?.index ?? 0;
    const safe = this.safe.get(disk) ?? 0;
    expect(
      newest >= safe || rots,
      "snapshot-durable",
      () => `seed ${this.seed}: ${safe} was finished, ${newest} is the newest after power loss`,
    );
    if (rots) this.safe.set(disk, newest);
  }

  /** Whatever the store offers reads as what was written. */
  private inspect(disk: Disk): void {
    const store = disk.store as SnapshotStoreApi;
    expect(disk.fatal === null, "snapshot-no-fatal", () => `seed ${this.seed}: ${String(disk.fatal)}`);
    const meta = store.latest();
    if (meta === null) return;
    let text = "";
    let ended = false;
    store.open(meta, (error, reader) => {
      expect(error === null && reader !== null, "snapshot-opens", () => `seed ${this.seed}: ${meta.id}: ${String(error)}`);
      const next = (): void =>
        reader.next((failed, chunk) => {
          expect(failed === null, "snapshot-reads", () => `seed ${this.seed}: ${meta.id}: ${String(failed)}`);
          if (chunk === null) {
            reader.close();
            ended = true;
            return;
          }
          text += String.fromCharCode(...chunk);
          next();
        });
      next();
    });
    this.clock.runUntilIdle(() => ended);
    expect(
      text === this.contents.get(meta.id),
      "snapshot-content",
      () => `seed ${this.seed}: ${meta.id} reads ${text.length} characters of something else`,
    );
  }
}

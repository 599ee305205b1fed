import { NearHolder } from "@trivet/client/near-holder";
import { groupId, isEvictable, type NamespaceView, type Prng, type ReadMode, readableCopy } from "@trivet/core";
import { MemoryPacking, type ToldProgram } from "@trivet/engine";
import {
  cacheShardOf,
  type CachedRecord,
  decodeClientFrame,
  decodeServerFrame,
  encodeClientFrame,
  encodeServerFrame,
  type HolderMessage,
  type HomeMessage,
  limits,
  lineName,
  type LineName,
  type ToHomes,
} from "@trivet/wire";

import type { Machine } from "../world/machine.ts";
import type { VirtualClient } from "./virtual-client.ts";

const tickMs = 50;
/** Of a node that says nothing while somebody waits; as the SDK's pings find out. */
const silenceMs = 1_500;
const reconnectMs = 50;

/** A key as this program finds it. */
export interface NearPlace {
  readonly namespace: number;
  readonly version: number;
  /** Values of more bytes it writes compressed; 0 = none. */
  readonly compressOver: number;
  readonly group: number;
  readonly holder: NearHolder;
  readonly line: LineName;
  /** How this program reads what is not strict, and whether it wants copies of what it writes. */
  readonly mode: ReadMode;
  readonly keeps: boolean;
}

/**
 * A program with the SDK: the holder that ships, one for each shard, whose messages go as frames of the stream through one node at a time. A node that is
 * cut off, silent or dead is left for another; what was on its way is lost, and so is what the program was told through it.
 */
export class NearProgram {
  private readonly client: VirtualClient;
  private readonly holders = new Map<number, NearHolder>();
  private readonly prng: Prng;
  /** Half of them are of a version that knows of compressed values. */
  private readonly unpacks: boolean;
  /** Some keep no copies, and are told their nodes' (decision 0027). */
  private readonly keeps: boolean;
  private known: { readonly view: NamespaceView; readonly shards: number } | null = null;
  private machine: Machine | null = null;
  /** Counts connections: what comes of a former one is not heard. */
  private connection = 0;
  private isOpen = false;
  private heardAt = 0;
  private outgoing: ToHomes["messages"][number][] = [];
  /** Tells the node of the present connection that it is over. */
  private detach: (() => void) | null = null;

  constructor(client: VirtualClient) {
    this.client = client;
    this.prng = client.prng.fork();
    this.unpacks = client.name.length % 2 === 0;
    this.keeps = !/[369]$/.test(client.name);
    this.reconnect();
    this.tick();
  }

  /** Null = it does not know the namespace yet. */
  place(key: string): NearPlace | null {
    if (this.known === null) return null;
    const { shards, view } = this.known;
    const group = cacheShardOf(view.namespace, key, shards);
    const line = lineName(String(view.namespace), key);
    const { compressOver } = view.settings;
    return {
      namespace: view.namespace,
      version: view.version,
      compressOver: this.unpacks ? compressOver : 0,
      group,
      holder: this.holder(group),
      line,
      mode: this.keeps ? { type: "write-through" } : { type: "uncopied" },
      keeps: this.keeps,
    };
  }

  /** A copy that may be read at this moment, without a message. */
  peek(key: string): CachedRecord | null {
    const place = this.place(key);
    const line = place?.holder.state.lines.get(place.line);
    if (place === null || line === undefined) return null;
    const { steady, wall } = this.now();
    return readableCopy(place.holder.state, line, steady, wall)?.record ?? null;
  }

  giveUp(key: string): void {
    const place = this.place(key);
    if (place !== null && isEvictable(place.holder.state, place.line)) place.holder.evict(place.line);
  }

  now(): { readonly steady: number; readonly wall: number } {
    const { process } = this.client;
    return { steady: process.now(), wall: process.wallNow() };
  }

  /** To another node, or the same; without a machine, to any. */
  reconnect(to: Machine | null = null): void {
    const { client } = this;
    const members = client.world.machines.filter(({ spare }) => !spare);
    const machine = to ?? this.prng.pick(members);
    const number = ++this.connection;
    const { detach, machine: former } = this;
    if (detach !== null && former !== null) {
      client.callProgram(
        former,
        () => detach(),
        () => {},
      );
    }
    this.detach = null;
    this.machine = machine;
    this.isOpen = false;
    this.heardAt = client.process.now();
    client.world.totals.add("near connections");
    client.callProgram(
      machine,
      ({ programs }) => {
        const { shards } = programs;
        const view = programs.namespace("default");
        const told: ToldProgram = (group, message) => {
          const bytes = encodeServerFrame({ type: "to-holders", messages: [{ group, message }] });
          client.arrive(machine, () => this.heard(number, bytes));
        };
        const detached = programs.attach(client.name, told, this.unpacks);
        client.arrive(machine, () => this.welcomed(number, shards, view, detached));
      },
      () => this.lost(number),
    );
  }

  private welcomed(number: number, shards: number, view: NamespaceView | null, detach: () => void): void {
    if (number !== this.connection) return;
    this.heardAt = this.client.process.now();
    this.detach = detach;
    if (shards === 0 || view === null) return this.lost(number);
    this.isOpen = true;
    if (this.known === null || view.version > this.known.view.version) this.known = { shards, view };
  }

  private heard(number: number, bytes: Uint8Array): void {
    if (number !== this.connection) return;
    this.heardAt = this.client.process.now();
    const frame = decodeServerFrame(bytes);
    if (frame.type !== "to-holders") return;
    for (const { group, message } of frame.messages) this.holders.get(group)?.receive(unpacked(message));
  }

  private lost(number: number): void {
    if (number !== this.connection) return;
    this.isOpen = false;
    this.client.after(reconnectMs, () => {
      if (number === this.connection) this.reconnect();
    });
  }

  private tick(): void {
    this.client.after(tickMs, () => {
      const { process } = this.client;
      for (const holder of this.holders.values()) holder.tick(this.now(), true);
      const isWaiting = !this.isOpen || [...this.holders.values()].some(({ waiting }) => waiting > 0);
      if (isWaiting && process.now() - this.heardAt > silenceMs) this.reconnect();
      this.tick();
    });
  }

  private holder(group: number): NearHolder {
    let holder = this.holders.get(group);
    if (holder === undefined) {
      const owner = {
        now: () => this.now(),
        send: (message: HolderMessage) => this.send(group, message),
        kept: () => this.client.world.totals.add("near copies"),
        dropped: () => {},
      };
      this.holders.set(group, (holder = new NearHolder(this.client.name, owner)));
    }
    return holder;
  }

  private send(group: number, message: HolderMessage): void {
    if (this.outgoing.length === 0) this.client.process.defer(() => this.flush());
    this.outgoing.push({ group, message });
  }

  private flush(): void {
    const { client, connection, machine } = this;
    const bytes = encodeClientFrame({ type: "to-homes", program: client.name, messages: this.outgoing });
    this.outgoing = [];
    if (!this.isOpen || machine === null) return;
    client.callProgram(
      machine,
      ({ programs }) => {
        const frame = decodeClientFrame(bytes);
        if (frame.type !== "to-homes" || programs.shards === 0) return;
        for (const { group, message } of frame.messages) programs.toHome(frame.program, groupId(group), message);
      },
      () => this.lost(connection),
    );
  }
}

export const packing: MemoryPacking = new MemoryPacking();

/** As the SDK does before its holder hears of it. */
function unpacked(message: HomeMessage): HomeMessage {
  if (message.type !== "data" && message.type !== "done") return message;
  const { packing: how, ...record } = message.record;
  if (how === undefined || record.value === null) return message;
  const value = packing.unpack(record.value, how, limits.maxBodyBytes);
  if (value === null) throw new Error(`what is stored of ${message.line} cannot be unpacked`);
  return { ...message, record: { ...record, value } };
}

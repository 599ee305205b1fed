import {
  CallerLanes,
  type CachedRecord,
  decodeShardAnswer,
  decodeUtf8,
  encodeUtf8,
  type ShardCommand,
  type WriteOutcome,
} from "@trivet/wire";

import type { CacheInput, CacheOutput } from "../checkers/models/cached-value.ts";
import type { CacheHistory, CacheOperation } from "./cache-history.ts";
import { cacheKeys, cacheTag, chooseInput, taggedKeys } from "./cache-inputs.ts";
import { filled } from "./filled-values.ts";
import { NearProgram, type NearPlace, packing } from "./near-program.ts";
import type { VirtualClient } from "./virtual-client.ts";

const timeoutMs = 2_500;
const callsPerOperation = 4;
/** A name is not known yet: looked for again. */
const againMs = 100;

/** Reads and writes a few keys as a program with the SDK does: from copies of its own, and through the keys' homes. */
export class NearClient {
  private readonly client: VirtualClient;
  private readonly program: NearProgram;
  private readonly history: CacheHistory;
  private readonly isAsking: () => boolean;
  private readonly lanes = new Map<number, CallerLanes<object>>();
  private readonly versions = new Map<string, number>();
  private readonly readsMostly: boolean;
  private callers = 0;
  private left: number;
  private busy = false;

  constructor(client: VirtualClient, history: CacheHistory, operations: number, readsMostly: boolean, isAsking: () => boolean) {
    this.client = client;
    this.history = history;
    this.isAsking = isAsking;
    this.readsMostly = readsMostly;
    this.left = operations * callsPerOperation;
    this.program = new NearProgram(client);
    this.pause();
  }

  get settled(): boolean {
    return !this.busy;
  }

  private pause(): void {
    const { prng } = this.client;
    this.client.after(prng.chance(0.93) ? prng.next() * 4 : prng.below(2_000), () => this.next());
  }

  private next(): void {
    if (!this.isAsking() || this.left <= 0 || this.busy) {
      if (this.isAsking()) this.client.after(300, () => this.next());
      return;
    }
    const { prng } = this.client;
    // As when its node is restarted: often beside calls that are under way.
    if (prng.chance(0.01)) this.program.reconnect();
    // As a policy does that has no room.
    if (prng.chance(0.03)) this.program.giveUp(prng.pick(cacheKeys));
    const value = filled(this.client.world, `${this.client.name}.${this.left}`);
    const input = chooseInput(prng, value, this.versions, this.readsMostly);
    const place = this.program.place(input.key);
    if (place === null) return void this.client.after(againMs, () => this.next());
    this.left -= 1;
    this.busy = true;
    this.send(place, input);
  }

  private send(place: NearPlace, input: CacheInput): void {
    const { client, history } = this;
    const { world } = client;
    const operation = history.begin(client.name, input, world.clock.now());
    const copy = input.type === "get" ? this.program.peek(input.key) : null;
    if (copy !== null) {
      world.totals.add("near hits");
      this.answered(operation, read(copy));
      return this.end();
    }
    // Some wait for so short a time that the home may be at it when they are gone.
    const patienceMs = client.prng.chance(0.1) ? 1 + client.prng.below(200) : timeoutMs;
    const deadline = client.process.now() + patienceMs;
    if (input.type === "get") {
      const mode = client.prng.chance(0.15) ? ({ type: "strict" } as const) : place.mode;
      return place.holder.read(place.line, mode, deadline, (answer) => {
        if (answer === null) operation.refused = true;
        else this.answered(operation, read(answer.record));
        this.end();
      });
    }
    const ttlMs = client.prng.chance(0.2) ? 100 + client.prng.below(2_000) : 0;
    return this.write(place, input, ttlMs, deadline, (outcome) => {
      this.wrote(operation, outcome);
      this.end();
    });
  }

  private write(
    { compressOver, group, holder, keeps, line, namespace, version }: NearPlace,
    input: CacheInput,
    ttlMs: number,
    deadline: number,
    done: (outcome: WriteOutcome | null) => void,
  ): void {
    let lanes = this.lanes.get(group);
    if (lanes === undefined) {
      lanes = new CallerLanes({ newCaller: () => `${this.client.name}.${++this.callers}`, exactDeadlines: true });
      this.lanes.set(group, lanes);
    }
    const notAfter = Math.floor(this.client.world.wallNow()) + timeoutMs;
    const command = packedIfOver(compressOver, commandOf(input, { namespace, version }, ttlMs));
    const sequence = lanes.submit(command, notAfter, Number.POSITIVE_INFINITY, {});
    const { caller } = lanes;
    let frame = new Uint8Array(0);
    lanes.collect(({ bytes }) => {
      frame = bytes as Uint8Array<ArrayBuffer>;
    });
    holder.write(line, frame, keeps, deadline, (outcome) => {
      if (outcome === null) lanes.giveUp(caller, sequence);
      else lanes.answer(caller, sequence);
      done(outcome);
    });
  }

  private wrote(operation: CacheOperation, outcome: WriteOutcome | null): void {
    const { totals } = this.client.world;
    if (outcome === null) {
      totals.add("near writes without outcome");
      operation.abandoned = true;
      return;
    }
    const output = outputOf(decodeShardAnswer(outcome.answer));
    if (output === null) operation.refused = true;
    else this.answered(operation, output);
  }

  private answered(operation: CacheOperation, output: CacheOutput): void {
    const { world } = this.client;
    world.totals.add("near calls answered");
    operation.output = output;
    operation.ret = world.clock.now();
    world.answered(operation.id, output.type);
    if (output.type === "read" || output.type === "written") this.versions.set(operation.input.key, output.version);
  }

  private end(): void {
    this.busy = false;
    this.pause();
  }
}

function read({ value, version }: CachedRecord): CacheOutput {
  return { type: "read", value: value === null ? null : decodeUtf8(value), version };
}

function commandOf(input: CacheInput, of: { readonly namespace: number; readonly version: number }, ttlMs: number): ShardCommand {
  const { key } = input;
  const ifFence = null;
  switch (input.type) {
    case "put":
    case "swap": {
      const condition = input.type === "swap" ? ({ type: "version", version: input.version } as const) : ({ type: "always" } as const);
      const tags = taggedKeys.includes(key) ? [cacheTag] : [];
      return { type: "cache-put", ...of, key, value: encodeUtf8(input.value), tags, ttlMs, condition, token: null, ifFence };
    }
    case "increment":
      return { type: "cache-increment", ...of, key, by: input.by, ttlMs: 0, ifFence };
    default:
      return { type: "cache-delete", ...of, key, condition: { type: "always" }, ifFence };
  }
}

/** As the SDK writes it. */
function packedIfOver(compressOver: number, command: ShardCommand): ShardCommand {
  if (command.type !== "cache-put" || command.value === null || compressOver === 0) return command;
  const packed = packing.pack(command.value);
  return packed.length < command.value.length ? { ...command, value: packed, packing: "brotli" } : command;
}

/** Null = nothing happened. */
function outputOf(answer: ReturnType<typeof decodeShardAnswer>): CacheOutput | null {
  switch (answer.type) {
    case "cache-written":
      return { type: "written", version: answer.version, number: answer.number };
    case "cache-deleted":
      return { type: "deleted", version: answer.version };
    case "cache-conflict":
      return { type: "conflict", version: answer.version };
    case "cache-not-a-number":
      return { type: "not-a-number" };
    default:
      return null;
  }
}

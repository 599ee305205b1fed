import type { CacheApi, CacheDeleted, CacheEntry, CacheFailure, CacheWritten } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";

import type { CacheInput, CacheOutput } from "../checkers/models/cached-value.ts";
import type { Machine } from "../world/machine.ts";
import type { CacheHistory, CacheOperation } from "./cache-history.ts";
import { cacheTag, chooseInput, taggedKeys } from "./cache-inputs.ts";
import { filled } from "./filled-values.ts";
import type { VirtualClient } from "./virtual-client.ts";

const timeoutMs = 2_500;
/** Most of them are reads of a copy, which cost next to nothing. */
const callsPerOperation = 4;

/** Reads and writes a few keys, one call after the other, each through any node. Mostly through the same one, so that copies are read. */
export class CacheClient {
  private readonly client: VirtualClient;
  private readonly history: CacheHistory;
  private readonly isAsking: () => boolean;
  private left: number;
  private busy = false;
  private readonly versions = new Map<string, number>();
  /** Who writes waits for others; who does not reads on, also from a copy that is over. */
  private readonly readsMostly: boolean;

  constructor(client: VirtualClient, history: CacheHistory, operations: number, readsMostly: boolean, isAsking: () => boolean) {
    this.client = client;
    this.readsMostly = readsMostly;
    this.history = history;
    this.left = operations * callsPerOperation;
    this.isAsking = isAsking;
    this.pause();
  }

  get settled(): boolean {
    return !this.busy;
  }

  private pause(): void {
    const { prng } = this.client;
    // Runs of calls without a pause: races of copies are short.
    this.client.after(prng.chance(0.93) ? prng.next() * 4 : prng.below(2_000), () => this.next());
  }

  private next(): void {
    if (!this.isAsking() || this.left <= 0 || this.busy) return this.idle();
    this.left -= 1;
    this.busy = true;
    const { prng, world } = this.client;
    const members = world.machines.filter(({ spare }) => !spare);
    const home = members[this.client.name.length % members.length] as Machine;
    const machine = prng.chance(this.readsMostly ? 0.02 : 0.3) ? prng.pick(members) : home;
    if (prng.chance(0.01)) this.clear(machine);
    else this.send(machine, this.choose());
  }

  /** One call, seen by each key that it is about. */
  private clear(machine: Machine): void {
    const { client, history } = this;
    const { world } = client;
    const operations = taggedKeys.map((key) => history.begin(client.name, { type: "clear", key }, world.clock.now()));
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      for (const operation of operations) operation.abandoned ||= operation.ret === null && !operation.refused;
      this.busy = false;
      this.pause();
    };
    client.callProgram(
      machine,
      ({ cache }) =>
        cache.invalidate("default", cacheTag, { timeoutMs }, (outcome) =>
          client.arrive(machine, () => {
            if (over) return;
            world.totals.add(`cache invalidations: ${outcome.type}`);
            if (outcome.type === "invalidated") {
              for (const operation of operations) {
                operation.output = { type: "deleted", version: null };
                operation.ret = world.clock.now();
                world.answered(operation.id, outcome.type);
              }
            }
            end();
          }),
        ),
      () => {
        for (const operation of operations) operation.refused = true;
        end();
      },
    );
    client.after(timeoutMs + 1_500, end);
  }

  private idle(): void {
    if (this.isAsking()) this.client.after(300, () => this.next());
  }

  private choose(): CacheInput {
    return chooseInput(this.client.prng, filled(this.client.world, `${this.client.name}.${this.left}`), this.versions, this.readsMostly);
  }

  private send(machine: Machine, input: CacheInput): void {
    const { client, history } = this;
    const { world } = client;
    const operation = history.begin(client.name, input, world.clock.now());
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.busy = false;
      this.pause();
    };
    const told = (outcome: CacheEntry | CacheWritten | CacheDeleted | CacheFailure): void =>
      client.arrive(machine, () => {
        if (operation.ret !== null || operation.abandoned) return;
        this.answered(operation, outcome);
        end();
      });
    const ttlMs = client.prng.chance(0.2) ? 100 + client.prng.below(2_000) : 0;
    const isStrict = client.prng.chance(0.15);
    client.callProgram(
      machine,
      ({ cache }) => ask(cache, input, ttlMs, isStrict, told),
      () => {
        operation.refused = true;
        end();
      },
    );
    client.after(timeoutMs + 1_500, () => {
      if (!over) operation.abandoned = true;
      end();
    });
  }

  private answered(operation: CacheOperation, outcome: CacheEntry | CacheWritten | CacheDeleted | CacheFailure): void {
    const { world } = this.client;
    const output = outputOf(outcome);
    if (output === null) {
      world.totals.add(`cache calls without outcome: ${outcome.type === "unavailable" ? outcome.code : outcome.type}`);
      if (outcome.type === "unknown") operation.abandoned = true;
      else operation.refused = true;
      return;
    }
    operation.output = output;
    operation.ret = world.clock.now();
    world.answered(operation.id, output.type);
    if (outcome.type === "entry" && outcome.source === "cache") world.totals.add("cache hits");
    if (output.type === "read" || output.type === "written") this.versions.set(operation.input.key, output.version);
  }
}

function ask(
  cache: CacheApi,
  input: CacheInput,
  ttlMs: number,
  isStrict: boolean,
  told: (outcome: CacheEntry | CacheWritten | CacheDeleted | CacheFailure) => void,
): void {
  const options = { timeoutMs };
  const namespace = "default";
  const { key } = input;
  switch (input.type) {
    case "get":
      return cache.get(namespace, key, isStrict ? "strict" : "linearizable", timeoutMs, told);
    case "put":
    case "swap": {
      const condition = input.type === "swap" ? ({ type: "version", version: input.version } as const) : ({ type: "always" } as const);
      const tags = taggedKeys.includes(key) ? [cacheTag] : [];
      const put = { namespace, key, value: encodeUtf8(input.value), tags, ttlMs, condition, token: null, ifFence: null };
      return cache.put(put, options, told);
    }
    case "increment":
      return cache.increment({ namespace, key, by: input.by, ttlMs: 0, ifFence: null }, options, told);
    // Of many keys at once, or of the log.
    case "clear":
    case "end":
      return;
    case "delete":
      return cache.delete({ namespace, key, condition: { type: "always" }, ifFence: null }, options, told);
  }
}

function outputOf(outcome: CacheEntry | CacheWritten | CacheDeleted | CacheFailure): CacheOutput | null {
  switch (outcome.type) {
    case "entry":
      return { type: "read", value: outcome.value === null ? null : decodeUtf8(outcome.value), version: outcome.version };
    case "written":
      return { type: "written", version: outcome.version, number: outcome.number };
    case "deleted":
      return { type: "deleted", version: outcome.version };
    case "conflict":
      return { type: "conflict", version: outcome.version };
    case "not-a-number":
      return { type: "not-a-number" };
    default:
      return null;
  }
}

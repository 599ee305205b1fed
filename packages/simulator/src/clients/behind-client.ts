import type { CacheApi, CacheDeleted, CacheEntry, CacheFailure, CacheWritten } from "@trivet/engine";
import { decodeUtf8, encodeUtf8 } from "@trivet/wire";

import type { Operation } from "../checkers/history.ts";
import type { OutsideInput, OutsideOutput } from "../checkers/models/outside-value.ts";
import type { Machine } from "../world/machine.ts";
import { filled } from "./filled-values.ts";
import type { VirtualClient } from "./virtual-client.ts";

export const behindNamespace = "outside";
export const behindKeys = ["p", "q", "m"] as const;
const counter = "m";
const timeoutMs = 2_500;

export interface BehindOperation {
  readonly id: string;
  readonly input: OutsideInput;
  readonly call: number;
  output: OutsideOutput | null;
  ret: number | null;
  refused: boolean;
}

/** What the checker reads: reads without an answer, and what did not happen, say nothing. */
export function observed(operations: readonly BehindOperation[]): readonly Operation<OutsideInput, OutsideOutput>[] {
  return operations.filter(({ input, refused, ret }) => !refused && (ret !== null || input.type !== "get"));
}

type Outcome = CacheEntry | CacheWritten | CacheDeleted | CacheFailure;

/** Reads and writes a few keys of a namespace that is written behind, one call after the other. Values live for a moment only, so that they are read back. */
export class BehindClient {
  private readonly client: VirtualClient;
  private readonly operations: BehindOperation[];
  private readonly isAsking: () => boolean;
  private left: number;
  private busy = false;

  constructor(client: VirtualClient, operations: BehindOperation[], left: number, isAsking: () => boolean) {
    this.client = client;
    this.operations = operations;
    this.left = left;
    this.isAsking = isAsking;
    this.pause();
  }

  get settled(): boolean {
    return !this.busy;
  }

  private pause(): void {
    const { prng } = this.client;
    this.client.after(prng.chance(0.6) ? prng.next() * 20 : prng.below(1_500), () => this.next());
  }

  private next(): void {
    if (!this.isAsking() || this.left <= 0 || this.busy) {
      if (this.isAsking()) this.client.after(300, () => this.next());
      return;
    }
    this.left -= 1;
    this.busy = true;
    const { prng, world } = this.client;
    const machine = prng.pick(world.machines.filter(({ spare }) => !spare));
    if (prng.chance(0.08)) this.forget(machine);
    else this.send(machine, this.choose());
  }

  /** Everything that is stored ends; nothing of it is lost. */
  private forget(machine: Machine): void {
    const { client } = this;
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.busy = false;
      this.pause();
    };
    const told = (): void => client.arrive(machine, end);
    client.callProgram(machine, ({ cache }) => cache.invalidate(behindNamespace, null, { timeoutMs }, told), end);
    client.after(timeoutMs + 1_500, end);
  }

  private choose(): OutsideInput {
    const { prng } = this.client;
    const key = prng.pick(behindKeys);
    const value = filled(this.client.world, `${this.client.name}.${this.left}`);
    if (prng.chance(0.5)) return { type: "get", key };
    if (key === counter) return { type: "increment", key, by: 1 + prng.below(3) };
    if (prng.chance(0.2)) return { type: "delete", key };
    return prng.chance(0.2) ? { type: "add", key, value } : { type: "put", key, value };
  }

  private send(machine: Machine, input: OutsideInput): void {
    const { client } = this;
    const { world } = client;
    const id = `${client.name}-${this.operations.length + 1}-${input.type}`;
    const operation: BehindOperation = { id, input, call: world.clock.now(), output: null, ret: null, refused: false };
    this.operations.push(operation);
    let over = false;
    const end = (): void => {
      if (over) return;
      over = true;
      this.busy = false;
      this.pause();
    };
    const told = (outcome: Outcome): void =>
      client.arrive(machine, () => {
        if (over) return;
        answered(operation, outcome, world.clock.now());
        world.totals.add(`calls behind: ${operation.refused ? outcome.type : (operation.output?.type ?? "without outcome")}`);
        if (operation.output !== null) world.answered(operation.id, operation.output.type);
        end();
      });
    const ttlMs = client.prng.chance(0.7) ? 50 + client.prng.below(800) : 0;
    const refused = (): void => {
      operation.refused = true;
      end();
    };
    client.callProgram(machine, ({ cache }) => ask(cache, input, ttlMs, told), refused);
    client.after(timeoutMs + 1_500, end);
  }
}

/** Reads a key; null = nobody could say. */
export function readBehind(client: VirtualClient, machine: Machine, key: string, told: (value: string | null | undefined) => void): void {
  const heard = (outcome: Outcome): void => client.arrive(machine, () => told(outcome.type === "entry" ? textOf(outcome) : undefined));
  client.callProgram(
    machine,
    ({ cache }) => cache.get(behindNamespace, key, "linearizable", timeoutMs, heard),
    () => told(undefined),
  );
}

const textOf = ({ value }: CacheEntry): string | null => (value === null ? null : decodeUtf8(value));

function answered(operation: BehindOperation, outcome: Outcome, at: number): void {
  const output = outputOf(outcome);
  if (output !== null) {
    operation.output = output;
    operation.ret = at;
  } else {
    operation.refused = outcome.type !== "unknown";
  }
}

function ask(cache: CacheApi, input: OutsideInput, ttlMs: number, told: (outcome: Outcome) => void): void {
  const options = { timeoutMs };
  const { key } = input;
  const ofKey = { namespace: behindNamespace, key, ifFence: null };
  switch (input.type) {
    case "get":
      return cache.get(behindNamespace, key, "linearizable", timeoutMs, told);
    case "put":
    case "add": {
      const condition = { type: input.type === "add" ? "absent" : "always" } as const;
      return cache.put({ ...ofKey, value: encodeUtf8(input.value), tags: [], ttlMs, condition, token: null }, options, told);
    }
    case "increment":
      return cache.increment({ ...ofKey, by: input.by, ttlMs }, options, told);
    case "delete":
      return cache.delete({ ...ofKey, condition: { type: "always" } }, options, told);
  }
}

function outputOf(outcome: Outcome): OutsideOutput | null {
  switch (outcome.type) {
    case "entry":
      return { type: "read", value: textOf(outcome) };
    case "written":
      return { type: "written", number: outcome.number };
    case "deleted":
      return { type: "deleted" };
    case "conflict":
      return { type: "exists" };
    case "not-a-number":
      return { type: "not-a-number" };
    default:
      return null;
  }
}

import type { LockInput, LockOutput, Operation, RegisterInput, RegisterOutput, SimpleInput, SimpleOutput } from "@trivet/simulator";
import { Prng } from "@trivet/core";
import type { LockMode } from "@trivet/wire";

interface Shape {
  readonly operations: number;
  readonly clients: number;
  /** Share of operations whose outcome is lost. */
  readonly unknown: number;
}

/**
 * Makes histories that are linearizable by construction: operations take effect in list order at increasing instants, each client has
 * one at a time, and every interval is widened around its instant without crossing the same client's others.
 */
export function intervals(prng: Prng, shape: Shape): { client: number; call: number; point: number; ret: number }[] {
  const lastReturn = new Map<number, number>();
  const made: { client: number; call: number; point: number; ret: number }[] = [];
  for (let i = 0; i < shape.operations; i += 1) {
    const point = (i + 1) * 10;
    const open = Array.from({ length: shape.clients }, (_, client) => client).filter((client) => (lastReturn.get(client) ?? 0) < point - 1);
    const client = open.length > 0 ? prng.pick(open) : -1;
    if (client < 0) continue;
    const floor = lastReturn.get(client) ?? 0;
    const call = Math.max(floor + 0.5, point - prng.below(40));
    const ret = point + prng.below(40);
    lastReturn.set(client, ret);
    made.push({ client, call, point, ret });
  }
  return made;
}

export function registerHistory(seed: number, shape: Shape): Operation<RegisterInput, RegisterOutput>[] {
  const prng = new Prng(seed);
  let value = "";
  let serial = 0;
  return intervals(prng, shape).map((interval, index) => {
    const kind = prng.pick(["read", "write", "compare-and-set"] as const);
    serial += 1;
    let input: RegisterInput;
    let output: RegisterOutput;
    if (kind === "read") {
      input = { type: "read", key: "k" };
      output = { value, applied: true };
    } else if (kind === "write") {
      value = `v${serial}`;
      input = { type: "write", key: "k", value };
      output = { value: "", applied: true };
    } else {
      const expected = prng.chance(0.7) ? value : `other${serial}`;
      input = { type: "compare-and-set", key: "k", expected, value: `v${serial}` };
      output = { value: "", applied: expected === value };
      if (expected === value) value = `v${serial}`;
    }
    const lost = prng.chance(shape.unknown);
    return { id: `${kind}#${index}`, input, output: lost ? null : output, call: interval.call, ret: lost ? null : interval.ret };
  });
}

/** One client may hold up to `limit` deep (1 = plain mutex). Refused acquires and releases occur too. */
export function simpleLockHistory(seed: number, shape: Shape, limit: number): Operation<SimpleInput, SimpleOutput>[] {
  const prng = new Prng(seed);
  let owner: string | null = null;
  let depth = 0;
  let fence = 0;
  return intervals(prng, shape).map((interval, index) => {
    const client = `c${interval.client}`;
    const type: SimpleInput["type"] = prng.chance(owner === client ? 0.3 : 0.8) ? "acquire" : "release";
    let output: SimpleOutput = { ok: false, fence: 0 };
    if (type === "acquire" && (owner === null || (owner === client && depth < limit))) {
      if (owner === null) fence += 1;
      owner = client;
      depth += 1;
      output = { ok: true, fence };
    } else if (type === "release" && owner === client) {
      depth -= 1;
      if (depth === 0) owner = null;
      output = { ok: true, fence: 0 };
    }
    const lost = prng.chance(shape.unknown);
    return {
      id: `${type}#${index}`,
      input: { type, name: "l", client },
      output: lost ? null : output,
      call: interval.call,
      ret: lost ? null : interval.ret,
    };
  });
}

interface Held {
  owner: string;
  mode: LockMode;
  fence: number;
  depth: number;
}

/** Full lock histories on one name: modes, re-entry, conversions and ends by the log. */
export function lockHistory(seed: number, shape: Shape): Operation<LockInput, LockOutput>[] {
  const prng = new Prng(seed);
  let holds: Held[] = [];
  let fence = 0;
  const clash = (mode: LockMode, except: Held | null): boolean =>
    holds.some(
      (hold) => hold !== except && (mode === "exclusive" || hold.mode === "exclusive" || (mode === "update" && hold.mode === "update")),
    );
  const one = (client: string): { input: LockInput; output: LockOutput } => {
    const mine = holds.find((hold) => hold.owner === client);
    const action =
      mine === undefined
        ? prng.pick(["acquire", "acquire", "end"] as const)
        : prng.pick(["release", "again", "convert", "acquire"] as const);
    if (action === "end") {
      const victim = holds.length > 0 ? prng.pick(holds) : null;
      holds = holds.filter((hold) => hold !== victim);
      return { input: { type: "end", name: "l", fence: victim?.fence ?? 0 }, output: { type: "released", remaining: 0 } };
    }
    if (action === "release" && mine !== undefined) {
      mine.depth -= 1;
      if (mine.depth === 0) holds = holds.filter((hold) => hold !== mine);
      return { input: { type: "release", name: "l", fence: mine.fence }, output: { type: "released", remaining: mine.depth } };
    }
    if (action === "convert" && mine !== undefined) {
      const mode = prng.pick(["shared", "update", "exclusive"] as const);
      const input: LockInput = { type: "convert", name: "l", fence: mine.fence, mode };
      if (clash(mode, mine)) return { input, output: { type: "refused" } };
      if (mode === "exclusive" && mine.mode !== "exclusive") {
        fence += 1;
        mine.fence = fence;
      }
      mine.mode = mode;
      return { input, output: { type: "granted", fence: mine.fence, depth: mine.depth } };
    }
    const reentrant = action === "again" && mine !== undefined;
    const mode = reentrant ? mine.mode : prng.pick(["shared", "update", "exclusive"] as const);
    const input: LockInput = { type: "acquire", name: "l", owner: client, session: 0, mode, of: 0, reentrant };
    if (reentrant) {
      mine.depth += 1;
      return { input, output: { type: "granted", fence: mine.fence, depth: mine.depth } };
    }
    if (mine !== undefined || clash(mode, null)) return { input, output: { type: "refused" } };
    fence += 1;
    holds.push({ owner: client, mode, fence, depth: 1 });
    return { input, output: { type: "granted", fence, depth: 1 } };
  };
  return intervals(prng, shape).map((interval, index) => {
    const { input, output } = one(`c${interval.client}`);
    const lost = input.type !== "end" && prng.chance(shape.unknown);
    // A lost grant is resolved from the log: its outcome is known, only the caller never saw it.
    const shown = lost && output.type !== "granted" ? null : output;
    return { id: `${input.type}#${index}`, input, output: shown, call: interval.call, ret: lost ? null : interval.ret };
  });
}

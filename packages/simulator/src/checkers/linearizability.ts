import type { Operation, Violation } from "./history.ts";
import { groupBy } from "./history.ts";
import { SearchMemo } from "./search-memo.ts";

/**
 * A sequential specification. `step` returns every state the operation may lead to from `state`; none = illegal there.
 * With an unknown output (null) it returns the states after each effect the operation could have had; "no effect at all" need not be
 * listed, because an unanswered operation may also never be linearized.
 */
export interface Model<S, In, Out> {
  readonly name: string;
  readonly initial: S;
  step(state: S, input: In, output: Out | null): readonly S[];
  /** Equal states have equal keys and different states different ones. */
  key(state: S): string;
}

export type Verdict =
  | { readonly type: "ok"; readonly order: readonly string[]; readonly explored: number }
  /** `order` is the longest linearization found, `blocked` the operations that could not follow it. */
  | { readonly type: "illegal"; readonly order: readonly string[]; readonly blocked: readonly string[]; readonly explored: number }
  /** The budget ran out. A run that ends so has proved nothing and fails. */
  | { readonly type: "unknown"; readonly explored: number };

interface Frame<S> {
  readonly operation: number;
  readonly before: S;
  readonly alternatives: readonly S[];
  tried: number;
}

/**
 * Wing and Gong's search with Lowe's memo, on a doubly linked list of call and return events, as Porcupine does: tentatively linearize
 * any operation whose call precedes every pending return; at a return that cannot be passed, take back the last choice. Never visits the
 * same (set of linearized operations, state) twice. A call at the same instant as a return counts as concurrent with it.
 */
export function checkLinearizable<S, In, Out>(
  model: Model<S, In, Out>,
  operations: readonly Operation<In, Out>[],
  budget: number = 2_000_000,
): Verdict {
  const events = new EventList(operations);
  const memo = new SearchMemo(operations.length);
  const stack: Frame<S>[] = [];
  let longest: number[] = [];
  let blocked: readonly number[] = events.openCalls();
  let state = model.initial;
  let explored = 0;
  let cursor = events.first();
  const operationAt = (index: number): Operation<In, Out> => operations[index] as Operation<In, Out>;

  /** Takes the next unvisited alternative of `frame`; false when there is none. */
  const advance = (frame: Frame<S>): boolean => {
    while (frame.tried < frame.alternatives.length) {
      const next = frame.alternatives[frame.tried] as S;
      frame.tried += 1;
      if (memo.visit(frame.operation, model.key(next))) {
        state = next;
        return true;
      }
    }
    return false;
  };

  while (events.pendingReturns > 0) {
    if (events.isCall(cursor)) {
      explored += 1;
      if (explored > budget) return { type: "unknown", explored };
      const operation = events.operationOf(cursor);
      const { input, output } = operationAt(operation);
      const frame: Frame<S> = { operation, before: state, alternatives: model.step(state, input, output), tried: 0 };
      if (advance(frame)) {
        events.lift(operation);
        memo.add(operation);
        stack.push(frame);
        cursor = events.first();
      } else {
        cursor = events.after(cursor);
      }
      continue;
    }
    if (stack.length >= longest.length) {
      longest = stack.map((frame) => frame.operation);
      blocked = events.openCalls();
    }
    const frame = stack.at(-1);
    if (frame === undefined) {
      return { type: "illegal", order: longest.map((i) => operationAt(i).id), blocked: blocked.map((i) => operationAt(i).id), explored };
    }
    memo.remove(frame.operation);
    events.unlift(frame.operation);
    state = frame.before;
    if (advance(frame)) {
      events.lift(frame.operation);
      memo.add(frame.operation);
      cursor = events.first();
    } else {
      stack.pop();
      cursor = events.after(events.callOf(frame.operation));
    }
  }
  return { type: "ok", order: stack.map((frame) => operationAt(frame.operation).id), explored };
}

/** Checks every key by itself (P-compositionality: a history is linearizable iff each object's part is). */
export function checkPerKey<S, In, Out>(
  model: (key: string) => Model<S, In, Out>,
  operations: readonly Operation<In, Out>[],
  keyOf: (input: In) => string,
  budget?: number,
): Violation | null {
  for (const [key, part] of groupBy(operations, (operation) => keyOf(operation.input))) {
    const verdict = checkLinearizable(model(key), part, budget);
    if (verdict.type === "ok") continue;
    const detail =
      verdict.type === "unknown"
        ? `key ${key}: undecided after ${verdict.explored} steps over ${part.length} operations`
        : `key ${key}: after ${tail(verdict.order)} none of [${verdict.blocked.join(", ")}] is legal`;
    return { invariant: verdict.type === "unknown" ? "linearizable-undecided" : "linearizable", detail };
  }
  return null;
}

function tail(order: readonly string[]): string {
  const shown = order.slice(-12).join(" ");
  return order.length > 12 ? `… ${shown}` : `[${shown}]`;
}

/**
 * Calls and returns in time order. Node 2i is the call of operation i, node 2i + 1 its return; the last node is the head. An
 * operation that never returned has a call only.
 */
class EventList {
  pendingReturns = 0;
  private readonly next: Int32Array;
  private readonly previous: Int32Array;
  private readonly hasReturn: Uint8Array;
  private readonly head: number;

  constructor(operations: readonly Operation<unknown, unknown>[]) {
    this.head = operations.length * 2;
    this.next = new Int32Array(this.head + 1);
    this.previous = new Int32Array(this.head + 1);
    this.hasReturn = new Uint8Array(operations.length);
    const nodes: { node: number; at: number }[] = [];
    for (const [index, operation] of operations.entries()) {
      nodes.push({ node: index * 2, at: operation.call });
      if (operation.ret === null) continue;
      if (operation.ret < operation.call) throw new RangeError(`operation ${operation.id} returned before its call`);
      this.hasReturn[index] = 1;
      this.pendingReturns += 1;
      nodes.push({ node: index * 2 + 1, at: operation.ret });
    }
    nodes.sort((a, b) => a.at - b.at || (a.node & 1) - (b.node & 1) || a.node - b.node);
    let last = this.head;
    for (const { node } of nodes) {
      this.next[last] = node;
      this.previous[node] = last;
      last = node;
    }
    this.next[last] = this.head;
    this.previous[this.head] = last;
  }

  first(): number {
    return this.next[this.head] as number;
  }
  after(node: number): number {
    return this.next[node] as number;
  }
  isCall(node: number): boolean {
    return (node & 1) === 0 && node !== this.head;
  }
  operationOf(node: number): number {
    return node >> 1;
  }
  callOf(operation: number): number {
    return operation * 2;
  }

  lift(operation: number): void {
    this.unlink(operation * 2);
    if (this.hasReturn[operation] === 1) {
      this.unlink(operation * 2 + 1);
      this.pendingReturns -= 1;
    }
  }
  /** Undoes the latest lift: a node still knows its neighbours, so the reverse order restores the list exactly. */
  unlift(operation: number): void {
    if (this.hasReturn[operation] === 1) {
      this.relink(operation * 2 + 1);
      this.pendingReturns += 1;
    }
    this.relink(operation * 2);
  }
  /** Operations that may be next: their calls come before the first pending return. */
  openCalls(): readonly number[] {
    const open: number[] = [];
    for (let node = this.first(); this.isCall(node); node = this.after(node)) open.push(node >> 1);
    return open;
  }

  private unlink(node: number): void {
    const before = this.previous[node] as number;
    const after = this.next[node] as number;
    this.next[before] = after;
    this.previous[after] = before;
  }
  private relink(node: number): void {
    this.next[this.previous[node] as number] = node;
    this.previous[this.next[node] as number] = node;
  }
}

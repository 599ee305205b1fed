import type { BrowsedMessage, RememberedAnswer, ShardAnswer } from "@trivet/core";
import type { PartitionStats } from "@trivet/engine";
import { type HandedOut, type ProducedMessage, settleOutcomes } from "@trivet/wire";

/** What a script said: when the pump has something to do in its partition (-1: nothing is known), and the answer. */
export interface Reply {
  readonly dueInMs: number;
  readonly type: string;
  readonly answer: Fields;
}

/** The fields of a reply by their position. A script of ours that answers otherwise is a bug, and throws. */
export class Fields {
  private readonly items: readonly unknown[];
  constructor(items: unknown) {
    if (!Array.isArray(items)) throw new TypeError("a list was expected from Redis");
    this.items = items;
  }
  get length(): number {
    return this.items.length;
  }
  number(at: number): number {
    const item = this.items[at];
    if (typeof item !== "number") throw new TypeError(`a number was expected from Redis at ${at}`);
    return item;
  }
  bytes(at: number): Buffer {
    const item = this.items[at];
    if (!Buffer.isBuffer(item)) throw new TypeError(`a string was expected from Redis at ${at}`);
    return item;
  }
  text(at: number): string {
    return this.bytes(at).toString("utf8");
  }
  list(at: number): Fields {
    return new Fields(this.items[at]);
  }
  numbers(at: number): number[] {
    const list = this.list(at);
    return Array.from({ length: list.length }, (_, item) => list.number(item));
  }
  map<T>(make: (fields: Fields) => T): T[] {
    return this.items.map((item) => make(new Fields(item)));
  }
}

export function readReply(raw: unknown): Reply {
  const outer = new Fields(raw);
  const answer = outer.list(1);
  return { dueInMs: outer.number(0), type: answer.text(0), answer };
}

export function answerOf(
  { type, answer }: Reply,
  asked: { readonly queue: number; readonly partition: number; readonly group: string },
): ShardAnswer {
  switch (type) {
    case "not-configured":
      return { type, queue: asked.queue, version: 0 };
    case "no-group":
      return { type, group: asked.group };
    case "counted":
      return { type, count: answer.number(1) };
    case "queue-full":
      return { type, limit: answer.text(1) === "bytes" ? "bytes" : "messages", max: answer.number(2) };
    case "refused":
      return { type, reason: "other-body" };
    case "produced":
      return { type, partition: asked.partition, messages: producedOf(answer.list(1)) };
    case "settled": {
      const codes = answer.list(1);
      return { type, outcomes: Array.from({ length: codes.length }, (_, at) => settleOutcomes[codes.number(at)] ?? "unknown") };
    }
    case "handed-out": {
      const messages = answer.list(3).map((message) => handedOut(asked.partition, answer.number(4), message));
      return { type, leaseMs: answer.number(1), messages, more: answer.number(2) === 1 };
    }
    default:
      throw new TypeError(`an answer of ours was expected from Redis, not ${type}`);
  }
}

/** What `keep` of a script has made of its answer; by versions before it told neither groups that are not there nor the incarnation of those that are. */
export function rememberedOf(answer: Fields, asked: { readonly queue: number; readonly partition: number }): RememberedAnswer {
  const type = answer.text(0);
  if (type !== "handed-out") {
    const group = type === "no-group" && answer.length > 1 ? answer.text(1) : "";
    const result = answerOf({ dueInMs: -1, type, answer }, { ...asked, group });
    if (result.type === "handed-out") throw new TypeError("the bodies of a hand-out are not kept");
    return result;
  }
  const messages = answer.list(3).map((name) => ({ sequence: name.number(0), acquired: name.number(1) }));
  const incarnation = answer.length > 4 ? answer.number(4) : 0;
  return { type, leaseMs: answer.number(1), more: answer.number(2) === 1, incarnation, messages };
}

function producedOf(pairs: Fields): ProducedMessage[] {
  return Array.from({ length: pairs.length / 2 }, (_, at) => ({
    sequence: pairs.number(2 * at),
    duplicate: pairs.number(2 * at + 1) === 1,
  }));
}

function handedOut(partition: number, incarnation: number, message: Fields): HandedOut {
  return {
    partition,
    sequence: message.number(0),
    acquired: message.number(1),
    incarnation,
    deliveries: message.number(2),
    key: message.text(3),
    priority: message.number(4),
    producedAt: message.number(5),
    headers: headersOf(message.text(6)),
    body: bodyOf(message.bytes(7)),
  };
}

export function statsOf(reply: Reply | null, partition: number): PartitionStats {
  const left = { returned: 0, acked: 0, died: 0, expired: 0, purged: 0, dropped: 0 };
  const none = { partition, leader: "", messages: 0, bytes: 0, delayed: 0, dead: 0, produced: 0, ...left, oldestAt: 0, groups: [] };
  if (reply === null || reply.type === "nothing") return none;
  const { answer } = reply;
  const totals = answer.list(8);
  return {
    ...none,
    returned: totals.number(0),
    acked: totals.number(1),
    died: totals.number(2),
    expired: totals.number(3),
    purged: totals.number(4),
    dropped: totals.number(5),
    messages: answer.number(1),
    bytes: answer.number(2),
    delayed: answer.number(3),
    dead: answer.number(4),
    produced: answer.number(5),
    oldestAt: answer.number(6),
    groups: answer.list(7).map((group) => ({
      group: group.text(0),
      ready: group.number(1),
      leased: group.number(2),
      settled: group.number(3),
      dead: group.number(4),
      expired: group.number(5),
      purged: group.number(6),
    })),
  };
}

export function browsedOf(
  { type, answer }: Reply,
  partition: number,
  state: BrowsedMessage["state"],
): { readonly messages: readonly BrowsedMessage[]; readonly next: string | null } {
  if (type === "nothing") return { messages: [], next: null };
  const next = answer.text(2);
  return { messages: answer.list(1).map((message) => browsedMessage(partition, state, message)), next: next === "" ? null : next };
}

function browsedMessage(partition: number, state: BrowsedMessage["state"], message: Fields): BrowsedMessage {
  const dead = message.list(8);
  return {
    partition,
    sequence: message.number(0),
    state,
    key: message.text(1),
    priority: message.number(2),
    headers: headersOf(message.text(3)),
    body: bodyOf(message.bytes(4)),
    producedAt: message.number(5),
    dueAt: message.number(6),
    expiresAt: message.number(7),
    dead:
      dead.length === 0
        ? null
        : {
            group: dead.text(0),
            reason: dead.text(1),
            acquired: dead.number(2),
            deliveries: dead.number(3),
            diedAt: dead.number(4),
          },
  };
}

/** The place after which a page begins, as the scripts take it; null = that is no cursor. */
export function placeOf(cursor: string, state: BrowsedMessage["state"]): readonly [number, number] | null {
  if (cursor === "") return state === "ready" ? [0, -1] : [-1, 0];
  const match = /^(\d{1,16})\.(\d{1,16})$/.exec(cursor);
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

function headersOf(text: string): readonly (readonly [string, string])[] {
  return text === "" ? [] : (JSON.parse(text) as [string, string][]);
}

/** A plain array of the bytes, apart from the buffer that the whole reply was read into. */
function bodyOf(bytes: Buffer): Uint8Array {
  return new Uint8Array(bytes);
}

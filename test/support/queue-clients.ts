import { setTimeout as pause } from "node:timers/promises";
import { call, expectStatus, textOf, type Answer, type Json } from "./http.ts";
import { judgeLossyQueue, judgeQueue, type Acked, type QueueRecord } from "./queue-history.ts";
import { ready, waitFor } from "./wait.ts";

/** Of this machine, whichever process asks. */
export const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** A client that gets no answer repeats the same call, under the same key, at another node, for so long. */
const patienceMs = 60_000;
const callTimeoutMs = 1_500;

/** Calls of one client through random nodes of those there are. */
export class Caller {
  private readonly name: string;
  private readonly urls: () => readonly string[];
  private calls = 0;

  /** `name` is in no other caller's keys: a key that comes back with another body is refused. */
  constructor(name: string, urls: () => readonly string[]) {
    this.name = name;
    this.urls = urls;
  }

  /** Null = no answer that decides. 503 changed nothing, 504 is an unknown outcome: both are repeated, as are 429 and 507. */
  async insist(path: string, body: Json, waitMs = 0): Promise<Answer | null> {
    this.calls += 1;
    const headers = { "idempotency-key": `${this.name}-${this.calls}` };
    const begun = nowMs();
    while (nowMs() - begun < patienceMs) {
      const urls = this.urls();
      const url = urls[Math.floor(Math.random() * urls.length)] ?? "";
      try {
        const answer = await call(`${url}${path}`, { body, headers, timeoutMs: waitMs + callTimeoutMs });
        if (![429, 503, 504, 507].includes(answer.status)) return answer;
      } catch {
        // Refused, reset or silent: the node is down or paused. Repeated like an unknown outcome.
      }
      await pause(20 + Math.random() * 80);
    }
    return null;
  }
}

export interface ConsumerOptions {
  readonly name: string;
  readonly urls: () => readonly string[];
  readonly queue: string;
  readonly max: number;
  readonly visibilityMs: number;
  /** Share of the messages that it gives back as failed instead. */
  readonly failing: number;
  readonly record: (record: QueueRecord) => void;
  readonly surprised: (what: string) => void;
  readonly stop: AbortSignal;
}

const waitMs = 500;

/** Takes and settles messages until it is told to stop. */
export async function consumeUntilStopped(options: ConsumerOptions): Promise<void> {
  const caller = new Caller(options.name, options.urls);
  const path = `/v1/queues/${options.queue}`;
  const { name: consumer, max, visibilityMs: visibility_ms } = options;
  while (!options.stop.aborted) {
    const asked = nowMs();
    const answer = await caller.insist(`${path}/consume`, { consumer, max, visibility_ms, wait_ms: waitMs }, waitMs);
    if (answer?.status !== 200) {
      options.surprised(`a consume of ${consumer}: ${answer === null ? "no answer" : `${answer.status} ${answer.text}`}`);
      continue;
    }
    const messages = answer.body["messages"] as readonly Json[];
    recordDeliveries(options.record, consumer, messages, asked);
    const failing = new Set(messages.filter(() => Math.random() < options.failing));
    await settle(options, caller, "nack", [...failing]);
    await settle(
      options,
      caller,
      "ack",
      messages.filter((message) => !failing.has(message)),
    );
  }
}

export function recordDeliveries(record: (record: QueueRecord) => void, consumer: string, messages: readonly Json[], asked: number): void {
  const ret = nowMs();
  for (const { id, body, key, acquired } of messages) {
    const content = textOf((body as Json)["content"]);
    record({ type: "delivered", id: textOf(id), content, key: textOf(key), acquired: Number(acquired), consumer, call: asked, ret });
  }
}

async function settle(options: ConsumerOptions, caller: Caller, how: "ack" | "nack", messages: readonly Json[]): Promise<void> {
  if (messages.length === 0) return;
  const asked = nowMs();
  if (how === "ack") {
    for (const { id, acquired } of messages) options.record({ type: "acking", id: textOf(id), acquired: Number(acquired), call: asked });
  }
  const extra = how === "nack" ? { delay_ms: 0 } : {};
  const receipts = messages.map(({ receipt }) => textOf(receipt));
  const answer = await caller.insist(`/v1/queues/${options.queue}/${how}`, { receipts, ...extra });
  const results = answer?.body["results"] as readonly Json[] | undefined;
  if (answer === null || results === undefined) {
    options.surprised(`${how} of ${receipts.length} messages: ${answer === null ? "no answer" : `${answer.status} ${answer.text}`}`);
    return;
  }
  const ret = nowMs();
  messages.forEach(({ id, acquired, receipt }, at) => {
    const outcome = textOf(results[at]?.["outcome"]);
    // `unknown`: there is no such message any more; another hand-out of it was settled.
    if (!["settled", "stale", "unknown"].includes(outcome)) options.surprised(`${how} of ${textOf(receipt)}: ${outcome}`);
    const fate: Acked["outcome"] = outcome === "settled" ? "ok" : "stale";
    if (how === "ack") options.record({ type: "acked", id: textOf(id), acquired: Number(acquired), outcome: fate, ret });
  });
}

export interface LoadOptions {
  readonly queue: string;
  readonly urls: () => readonly string[];
  readonly producers: number;
  readonly consumers: number;
  readonly keysPerProducer: number;
  /** Messages of one produce, and of one consume at most. */
  readonly batch: number;
  readonly visibilityMs: number;
  readonly failing?: number;
  /** Producers stop by themselves after so many messages together. */
  readonly messages?: number;
  /** Nor do they produce more than these, however long the test takes; they need not come so far. */
  readonly most?: number;
  /** Of a producer between two calls: a load that goes on for long, with few messages. */
  readonly pauseMs?: number;
  /** Asked of every produce. What was stored and has not reached it may be lost. */
  readonly ack?: string;
}

export interface QueueLoad {
  readonly records: QueueRecord[];
  readonly surprises: readonly string[];
  sent(): number;
  /** Messages known to be settled. */
  settled(): number;
  /** Waits until so many more messages were produced, and as many settled: the cluster works. */
  progress(messages: number, deadlineMs?: number): Promise<void>;
  /** Lets the producers finish, and consumers empty the queue. */
  drain(deadlineMs?: number): Promise<void>;
  /** Ends all clients, whatever is left. */
  finish(): Promise<void>;
}

/** Produced and not settled: producers wait beyond it, so that what is left at the end is consumed in bounded time. */
const maxAhead = 1_000;

/** Producers, each with keys of its own and one call at a time, and consumers, all through random nodes. */
export function startQueueLoad(options: LoadOptions): QueueLoad {
  const records: QueueRecord[] = [];
  const surprises: string[] = [];
  const [stopProducing, stop] = [new AbortController(), new AbortController()];
  const counts = { sent: 0, settled: 0 };
  const record = (one: QueueRecord): void => {
    records.push(one);
    if (one.type === "acked" && one.outcome === "ok") counts.settled += 1;
  };
  const surprised = (what: string): void => void surprises.push(what);
  const share = Math.ceil((options.messages ?? options.most ?? Number.POSITIVE_INFINITY) / options.producers);
  const path = `/v1/queues/${options.queue}`;

  const produce = async (producer: string): Promise<void> => {
    const caller = new Caller(`${options.queue}-${producer}`, options.urls);
    for (let from = 0; from < share && !stopProducing.signal.aborted; from += options.batch) {
      while (counts.sent - counts.settled > maxAhead && options.consumers > 0 && !stopProducing.signal.aborted) await pause(20);
      const messages = Array.from({ length: Math.min(options.batch, share - from) }, (_, at) => ({
        body: { content: `${producer}/${from + at}` },
        key: `${producer}/${(from + at) % options.keysPerProducer}`,
      }));
      const asked = options.ack === undefined ? {} : { ack: options.ack };
      const answer = await caller.insist(`${path}/messages`, { messages, ...asked });
      const ids = answer?.status === 201 ? (answer.body["message_ids"] as readonly string[]) : null;
      if (ids === null) surprised(`a produce of ${producer}: ${answer === null ? "no answer" : `${answer.status} ${answer.text}`}`);
      const isSafe = ids !== null && (options.ack === undefined || answer?.body["ack"] === options.ack);
      const outcome = isSafe ? "stored" : "unknown";
      messages.forEach(({ body: { content }, key }, at) => {
        record({ type: "sent", content, key, place: from + at, outcome, id: ids?.[at] ?? "" });
      });
      counts.sent += messages.length;
      // Its keys have no order any more.
      if (ids === null) return;
      if (options.pauseMs !== undefined) await pause(options.pauseMs);
    }
  };

  const producing = Array.from({ length: options.producers }, (_, index) => produce(`producer-${index + 1}`));
  const { queue, urls, batch: max, visibilityMs, failing = 0 } = options;
  const consuming = Array.from({ length: options.consumers }, (_, index) =>
    consumeUntilStopped({
      name: `${queue}-consumer-${index + 1}`,
      urls,
      queue,
      max,
      visibilityMs,
      failing,
      record,
      surprised,
      stop: stop.signal,
    }),
  );

  return {
    records,
    surprises,
    sent: () => counts.sent,
    settled: () => counts.settled,
    progress: async (messages, deadlineMs = 60_000) => {
      const [sent, settled] = [counts.sent + messages, counts.settled + (options.consumers > 0 ? messages : 0)];
      await waitFor(
        `${messages} more messages`,
        () => {
          if (counts.sent >= sent && counts.settled >= settled) return ready(true);
          return `${sent - counts.sent} to be sent, ${settled - counts.settled} to be settled; ${surprises.join("; ")}`;
        },
        { deadlineMs },
      );
    },
    drain: async (deadlineMs = 60_000) => {
      if (options.messages === undefined) stopProducing.abort();
      await Promise.all(producing);
      await waitFor(
        "an empty queue",
        async () => {
          const { totals } = (await expectStatus(200, `${urls()[0]}${path}`)).body;
          return (totals as Json)["messages"] === 0 ? ready(true) : JSON.stringify(totals);
        },
        { deadlineMs, everyMs: 100 },
      );
      stop.abort();
      await Promise.all(consuming);
    },
    finish: async () => {
      stopProducing.abort();
      stop.abort();
      await Promise.all([...producing, ...consuming]);
    },
  };
}

/**
 * What speaks against a queue that was drained, with what every node says of it now: nobody has a message left, and the numbers are those of the
 * records.
 */
export async function problemsOf(load: QueueLoad, queue: string, urls: readonly string[]): Promise<readonly string[]> {
  const stored = load.records.filter((record) => record.type === "sent" && record.outcome === "stored").length;
  const wanted = JSON.stringify({ messages: 0, produced: stored, settled: stored, dead: 0 });
  const problems = await throughEvery(load, queue, urls, (totals, group) => {
    const { messages, produced, dead } = totals;
    const numbers = JSON.stringify({ messages, produced, settled: group?.["settled"], dead });
    return numbers === wanted ? [] : [`${numbers}; the clients know ${wanted}`];
  });
  return [...load.surprises, ...problems, ...judgeQueue(load.records)];
}

/** The same where the storage may lose what it has not confirmed: counts are what it has, and only what it confirmed must have come. */
export async function problemsOfLossy(load: QueueLoad, queue: string, urls: readonly string[]): Promise<readonly string[]> {
  const problems = await throughEvery(load, queue, urls, ({ messages }) =>
    messages === 0 ? [] : [`${JSON.stringify(messages)} messages`],
  );
  return [...load.surprises, ...problems, ...judgeLossyQueue(load.records)];
}

/** Takes what is left through each node, and looks at its numbers. */
async function throughEvery(
  load: QueueLoad,
  queue: string,
  urls: readonly string[],
  look: (totals: Json, group: Json | undefined) => readonly string[],
): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const url of urls) {
    const asked = nowMs();
    const left = (await expectStatus(200, `${url}/v1/queues/${queue}/consume`, { body: { max: 100, consumer: "drain" } })).body;
    recordDeliveries((record) => load.records.push(record), `drain through ${url}`, left["messages"] as readonly Json[], asked);
    if ((left["messages"] as readonly Json[]).length > 0) problems.push(`${url} had messages left`);
    const { body } = await expectStatus(200, `${url}/v1/queues/${queue}`);
    const totals = body["totals"] as Json;
    const sum = (names: readonly string[]): number => names.reduce((all, name) => all + Number(totals[name]), 0);
    const [came, is] = [sum(["produced", "returned"]), sum(["messages", "acked", "died", "expired", "purged", "dropped"])];
    if (came !== is) problems.push(`${url}: ${came} came, and ${is} are there or have left: ${JSON.stringify(totals)}`);
    for (const problem of look(totals, (body["groups"] as readonly Json[])[0])) problems.push(`${url} says ${problem}`);
  }
  return problems;
}

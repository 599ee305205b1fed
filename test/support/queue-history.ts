/** What one produced message became, as its producer knows. Content names it: no two messages of a history have the same. */
export interface Sent {
  readonly type: "sent";
  readonly content: string;
  readonly key: string;
  /** Of the messages of its key: the producer sent this one only after the answer to the one before. */
  readonly place: number;
  /** `refused`: the answer said that nothing was stored. `unknown`: nobody knows. */
  readonly outcome: "stored" | "refused" | "unknown";
  /** Of a stored message. */
  readonly id: string;
}

/** A message in the answer to a consume. Times are of the machine's monotonic clock, in milliseconds, the same in every process. */
export interface Delivery {
  readonly type: "delivered";
  readonly id: string;
  readonly content: string;
  readonly key: string;
  /** Number of this hand-out of the message. */
  readonly acquired: number;
  readonly consumer: string;
  /** When the consume was first sent, and when this answer came. */
  readonly call: number;
  readonly ret: number;
}

/** An ack was sent. What became of it is a record of its own, which a consumer that was killed has not written. */
export interface Acking {
  readonly type: "acking";
  readonly id: string;
  readonly acquired: number;
  readonly call: number;
}
export interface Acked {
  readonly type: "acked";
  readonly id: string;
  readonly acquired: number;
  readonly outcome: "ok" | "stale";
  readonly ret: number;
}

/** Records of one queue as one consumer group sees it, each client's in its order. */
export type QueueRecord = Sent | Delivery | Acking | Acked;

interface Attempt {
  readonly acquired: number;
  readonly call: number;
  outcome: "ok" | "stale" | "unknown";
  ret: number;
}
interface Message {
  readonly id: string;
  readonly deliveries: Delivery[];
  readonly acks: Attempt[];
}

/**
 * What the records of a queue that was drained at the end say against it; empty = nothing. No acknowledged message is missing, none is invented or
 * stored twice, each key keeps its order and has one message out at a time, and what was acknowledged as settled stays settled.
 */
export function judgeQueue(records: readonly QueueRecord[]): readonly string[] {
  const sent = new Map<string, Sent>();
  const problems: string[] = [];
  for (const record of records) {
    if (record.type !== "sent") continue;
    if (sent.has(record.content)) problems.push(`${record.content} was sent twice: this history cannot be judged`);
    sent.set(record.content, record);
  }
  const messages = byMessage(records);
  return [
    ...problems,
    ...unexpected(sent, messages),
    ...missing(sent, messages),
    ...outOfOrder(sent, messages),
    ...[...messages.values()].flatMap((message) => [...wrongAcks(message), ...wrongHandOuts(message)]),
  ];
}

/**
 * The same where acknowledged messages may be lost and settlements undone, as by a fail-over of Redis: `stored` are those that must have come. What is
 * lost may be stored again by a repeat, and be settled again; it is still nobody's else, in no other order, and no name is of two messages.
 */
export function judgeLossyQueue(records: readonly QueueRecord[]): readonly string[] {
  const sent = new Map<string, Sent>();
  for (const record of records) if (record.type === "sent") sent.set(record.content, record);
  const messages = byMessage(records);
  return [...invented(sent, messages), ...missing(sent, messages), ...outOfOrder(sent, messages)];
}

function byMessage(records: readonly QueueRecord[]): ReadonlyMap<string, Message> {
  const messages = new Map<string, Message>();
  const of = (id: string): Message => {
    const known = messages.get(id) ?? { id, deliveries: [], acks: [] };
    messages.set(id, known);
    return known;
  };
  for (const record of records) {
    if (record.type === "delivered") of(record.id).deliveries.push(record);
    else if (record.type === "acking") {
      const { acquired, call } = record;
      of(record.id).acks.push({ acquired, call, outcome: "unknown", ret: Number.POSITIVE_INFINITY });
    } else if (record.type === "acked") {
      const attempt = of(record.id).acks.find(({ acquired, outcome }) => acquired === record.acquired && outcome === "unknown");
      if (attempt === undefined) throw new Error(`an answer to an ack of ${record.id} that was not sent`);
      attempt.outcome = record.outcome;
      attempt.ret = record.ret;
    }
  }
  for (const { deliveries } of messages.values()) deliveries.sort((a, b) => a.ret - b.ret);
  return messages;
}

function unexpected(sent: ReadonlyMap<string, Sent>, messages: ReadonlyMap<string, Message>): readonly string[] {
  const problems: string[] = [];
  const idOf = new Map<string, string>();
  for (const { id, deliveries } of messages.values()) {
    for (const { content } of deliveries) {
      const origin = sent.get(content);
      const known = idOf.get(content) ?? id;
      idOf.set(content, known);
      if (origin?.outcome === "stored" && origin.id !== id) problems.push(`${content} was stored as ${origin.id} and came as ${id}`);
      if (known !== id) problems.push(`${content} came as ${known} and as ${id}: it was stored twice`);
    }
  }
  return [...invented(sent, messages), ...new Set(problems)];
}

function invented(sent: ReadonlyMap<string, Sent>, messages: ReadonlyMap<string, Message>): readonly string[] {
  const problems: string[] = [];
  for (const { id, deliveries } of messages.values()) {
    for (const { content, key, consumer } of deliveries) {
      const origin = sent.get(content);
      if (origin === undefined) problems.push(`${consumer} got ${id} with ${content}, which nobody sent`);
      else if (origin.outcome === "refused") problems.push(`${consumer} got ${id} with ${content}, which was refused`);
      else if (origin.key !== key) problems.push(`${id} was sent with key ${origin.key} and came with ${key}`);
    }
    if (new Set(deliveries.map(({ content }) => content)).size > 1) problems.push(`${id} came with more than one content`);
  }
  return [...new Set(problems)];
}

function missing(sent: ReadonlyMap<string, Sent>, messages: ReadonlyMap<string, Message>): readonly string[] {
  const problems: string[] = [];
  for (const { content, id, outcome } of sent.values()) {
    if (outcome !== "stored") continue;
    const message = messages.get(id);
    if (message === undefined || message.deliveries.length === 0) problems.push(`${id} (${content}) was acknowledged and never came`);
    else if (message.acks.every((ack) => ack.outcome === "stale"))
      problems.push(`${id} (${content}) was never settled, and the queue is empty`);
  }
  return problems;
}

/** Of the stored messages of a key each comes first after the one before it, and not before somebody tried to settle that one. */
function outOfOrder(sent: ReadonlyMap<string, Sent>, messages: ReadonlyMap<string, Message>): readonly string[] {
  const problems: string[] = [];
  const keys = new Map<string, Sent[]>();
  for (const one of sent.values()) {
    if (one.outcome !== "stored" || one.key === "") continue;
    const others = keys.get(one.key);
    if (others === undefined) keys.set(one.key, [one]);
    else others.push(one);
  }
  for (const [key, all] of keys) {
    const ordered = all.toSorted((a, b) => a.place - b.place);
    let before: Message | null = null;
    for (const { id } of ordered) {
      const message = messages.get(id);
      const [first] = message?.deliveries ?? [];
      if (message === undefined || first === undefined) continue;
      const [previous] = before?.deliveries ?? [];
      if (before !== null && previous !== undefined) {
        if (previous.ret > first.ret) problems.push(`key ${key}: ${id} came before ${before.id}, which was sent earlier`);
        else if (!before.acks.some(({ call, outcome }) => outcome !== "stale" && call < first.ret)) {
          problems.push(`key ${key}: ${id} came while ${before.id} was out`);
        }
      }
      before = message;
    }
  }
  return problems;
}

function wrongAcks({ id, acks, deliveries }: Message): readonly string[] {
  const problems: string[] = [];
  const fine = acks.filter(({ outcome }) => outcome === "ok");
  if (fine.length > 1) problems.push(`${id} was settled ${fine.length} times`);
  for (const { acquired, call, ret } of fine) {
    for (const delivery of deliveries) {
      if (delivery.call > ret) problems.push(`${id} was settled and handed out again, to ${delivery.consumer}`);
      else if (delivery.acquired > acquired && delivery.ret < call) {
        problems.push(`${id} was settled by hand-out ${acquired} although ${delivery.consumer} had hand-out ${delivery.acquired} already`);
      }
    }
  }
  return problems;
}

function wrongHandOuts({ id, deliveries }: Message): readonly string[] {
  const problems: string[] = [];
  const seen = new Map<number, Delivery>();
  for (const delivery of deliveries) {
    const other = seen.get(delivery.acquired);
    if (other !== undefined) problems.push(`hand-out ${delivery.acquired} of ${id} went to ${other.consumer} and to ${delivery.consumer}`);
    seen.set(delivery.acquired, delivery);
  }
  deliveries.forEach((later, at) => {
    const earlier = deliveries.slice(0, at).find(({ acquired, ret }) => acquired > later.acquired && ret < later.call);
    if (earlier !== undefined) problems.push(`${id} was handed out as number ${earlier.acquired}, and later as ${later.acquired}`);
  });
  return problems;
}

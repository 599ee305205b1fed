import type { NewMessage } from "@trivet/wire";

/** What a group thinks of a message: nothing yet (`ready`), or done with it (`over`). */
interface Share {
  state: "ready" | "leased" | "later" | "over";
  acquired: number;
  released: number;
  /** When it was handed out, in the order of the group. */
  order: number;
  extended: number;
  deliveries: number;
  consumer: string;
  until: number;
}

interface Message {
  readonly sequence: number;
  readonly key: string;
  readonly priority: number;
  readonly ttlMs: number;
  readonly size: number;
  /** 0 = is not ready yet. */
  place: number;
  lane: number;
  dueAt: number;
  expiresAt: number;
  lookAt: number;
  readonly target: string;
  readonly shares: Map<string, Share>;
}

const counts = { acquired: 0, released: 0, order: 0, extended: 0, deliveries: 0 };

interface Dead {
  readonly group: string;
  readonly message: Message;
}

/** One partition as plainly as it can be said: lists that are searched from end to end. Slow, and written without a look at the other. */
export class Model {
  now = 0;
  next = 1;
  messages: Message[] = [];
  dead: Dead[] = [];
  readonly groups: Map<string, { readonly since: number; grants: number }> = new Map();
  private readonly ids: Map<string, { readonly sequence: number; readonly endsAt: number }> = new Map();
  private readonly rules: Rules;

  constructor(rules: Rules) {
    this.rules = rules;
  }

  /** Null when it is full. */
  produce(batch: readonly NewMessage[]): readonly { readonly sequence: number; readonly duplicate: boolean }[] | null {
    const fresh = new Set<string>();
    let count = 0;
    for (const { dedupId } of batch) {
      if (dedupId !== "" && (this.known(dedupId) !== 0 || fresh.has(dedupId))) continue;
      fresh.add(dedupId);
      count++;
    }
    if (count > 0 && this.messages.length + count > this.rules.maxMessages) return null;
    return batch.map((wanted) => {
      const known = wanted.dedupId === "" ? 0 : this.known(wanted.dedupId);
      if (known !== 0) return { sequence: known, duplicate: true };
      const sequence = this.next++;
      if (wanted.dedupId !== "") this.ids.set(wanted.dedupId, { sequence, endsAt: this.now + this.rules.dedupeWindowMs });
      const message = this.add(sequence, wanted.key, wanted.priority, wanted.ttlMs, wanted.body.length, "");
      if (wanted.delayMs > 0) message.dueAt = this.now + wanted.delayMs;
      else this.makeReady(message, sequence);
      return { sequence, duplicate: false };
    });
  }

  join(group: string, isLatest: boolean): void {
    if (!this.groups.has(group)) this.groups.set(group, { since: isLatest ? this.next : 0, grants: 0 });
  }

  consume(group: string, consumer: string, most: number, autoAck: boolean): string[] {
    const given: string[] = [];
    const member = this.groups.get(group);
    if (member === undefined) throw new Error(group);
    while (given.length < most) {
      const can = this.messages.filter((message) => this.isDeliverable(message, group));
      const isOldest = (member.grants + 1) % 16 === 0;
      can.sort((a, b) => (isOldest ? 0 : a.lane - b.lane) || a.place - b.place);
      const [message] = can;
      if (message === undefined) break;
      const share = this.share(message, group);
      if (message.expiresAt > 0 && message.expiresAt <= this.now) {
        this.end(message, group);
        continue;
      }
      if (share.acquired - share.released >= this.rules.maxAcquired) {
        this.die(message, group);
        continue;
      }
      share.acquired++;
      share.extended = 0;
      member.grants++;
      share.order = member.grants;
      given.push(`${message.sequence}#${share.acquired}!${share.deliveries}`);
      if (autoAck) this.end(message, group);
      else {
        share.state = "leased";
        share.consumer = consumer;
      }
    }
    return given;
  }

  settle(group: string, sequence: number, acquired: number, how: string, delayMs: number): string {
    const message = this.messages.find((other) => other.sequence === sequence);
    const share = message?.shares.get(group);
    if (message === undefined || share === undefined || share.state === "over") return "unknown";
    if (share.state !== "leased" || share.acquired !== acquired) return "stale";
    if (how === "extend") share.extended++;
    if (how === "ack") this.end(message, group);
    else if (how === "dead") this.die(message, group);
    else if (how === "release") this.giveBack(share);
    else if (how === "nack") {
      share.deliveries++;
      this.fail(message, group, delayMs >= 0 ? delayMs : this.rules.backoffMs * share.deliveries);
    }
    return "settled";
  }

  expire(group: string, sequence: number, acquired: number, extended: number): number {
    const message = this.messages.find((other) => other.sequence === sequence);
    const share = message?.shares.get(group);
    if (message === undefined || share?.state !== "leased" || share.acquired !== acquired || share.extended !== extended) return 0;
    this.fail(message, group, 0);
    return 1;
  }

  /** `begun` null = it never said how many. */
  gone(consumer: string, begun: number | null): number {
    let count = 0;
    for (const group of this.groups.keys()) {
      const held = this.messages
        .map((message) => ({ message, share: this.share(message, group) }))
        .filter(({ share }) => share.state === "leased" && share.consumer === consumer)
        .sort((a, b) => (begun === null ? a.message.sequence - b.message.sequence : a.share.order - b.share.order));
      count += held.length;
      for (const { share } of held.splice(begun ?? held.length)) this.giveBack(share);
      for (const { message, share } of held.sort((a, b) => a.message.sequence - b.message.sequence)) {
        share.deliveries++;
        this.fail(message, group, 0);
      }
    }
    return count;
  }

  private giveBack(share: Share): void {
    share.released++;
    share.state = "ready";
  }

  purge(): number {
    const stay = this.messages.filter((message) => this.isLeased(message));
    const count = this.messages.length - stay.length;
    this.messages = stay;
    return count;
  }

  /** Null when there is room for none. */
  redrive(limit: number): number | null {
    const order = [...this.groups.keys()];
    this.dead.sort((a, b) => a.message.sequence - b.message.sequence || order.indexOf(a.group) - order.indexOf(b.group));
    const room = Math.max(0, this.rules.maxMessages - this.messages.length);
    if (room === 0 && this.dead.length > 0 && limit > 0) return null;
    const back = this.dead.splice(0, Math.min(limit, room));
    for (const { group, message } of back) {
      const { key, priority, size } = message;
      const sequence = this.next++;
      this.makeReady(this.add(sequence, key, priority, 0, size, this.groups.size === 1 ? "" : group), sequence);
    }
    return back.length;
  }

  pass(now: number): void {
    this.now = now;
    const due: { readonly at: number; readonly kind: number; readonly message: Message; readonly meet: () => void }[] = [];
    for (const message of this.messages) {
      if (message.place === 0 && message.dueAt <= now) {
        due.push({ at: message.dueAt, kind: 1, message, meet: () => this.makeReady(message, this.next++) });
      }
      for (const share of message.shares.values()) if (share.state === "later" && share.until <= now) share.state = "ready";
      if (message.lookAt > 0 && message.lookAt <= now)
        due.push({ at: message.lookAt, kind: 3, message, meet: () => this.lookAgain(message) });
    }
    due.sort((a, b) => a.at - b.at || a.kind - b.kind || a.message.sequence - b.message.sequence);
    for (const { meet } of due) meet();
  }

  hasReady(group: string): boolean {
    return this.messages.some((message) => this.isDeliverable(message, group));
  }

  private lookAgain(message: Message): void {
    if (this.isLeased(message)) message.lookAt = this.now + 1000;
    else this.drop(message);
  }

  private add(sequence: number, key: string, priority: number, ttlMs: number, size: number, target: string): Message {
    const times = { place: 0, lane: 0, dueAt: 0, expiresAt: 0, lookAt: 0 };
    const message: Message = { sequence, key, priority, ttlMs, size, target, shares: new Map(), ...times };
    this.messages.push(message);
    return message;
  }

  private makeReady(message: Message, place: number): void {
    const lanes = this.messages
      .filter((other) => other.place > 0 && other.key === message.key && message.key !== "")
      .map(({ lane }) => lane);
    message.lane = Math.max(message.priority, ...lanes);
    message.place = place;
    if (message.ttlMs > 0) message.expiresAt = message.lookAt = this.now + message.ttlMs;
  }

  private share(message: Message, group: string): Share {
    let share = message.shares.get(group);
    if (share === undefined) message.shares.set(group, (share = { state: "ready", ...counts, consumer: "", until: 0 }));
    return share;
  }

  /** Has `group` still to settle it? */
  private isOwed(message: Message, group: string): boolean {
    if (message.place === 0 || (message.target !== "" && message.target !== group)) return false;
    return message.place >= (this.groups.get(group)?.since ?? 0) && message.shares.get(group)?.state !== "over";
  }

  private isDeliverable(message: Message, group: string): boolean {
    if (!this.isOwed(message, group) || (message.shares.get(group)?.state ?? "ready") !== "ready") return false;
    const isAhead = (other: Message): boolean => other.key === message.key && other.place < message.place && this.isOwed(other, group);
    return message.key === "" || !this.messages.some(isAhead);
  }

  private isLeased(message: Message): boolean {
    return [...message.shares.values()].some(({ state }) => state === "leased");
  }

  private fail(message: Message, group: string, delayMs: number): void {
    const share = this.share(message, group);
    if (share.deliveries >= this.rules.maxDeliveries || share.acquired - share.released >= this.rules.maxAcquired)
      return this.die(message, group);
    share.state = delayMs > 0 ? "later" : "ready";
    share.until = this.now + delayMs;
  }

  private die(message: Message, group: string): void {
    this.dead.push({ group, message });
    this.end(message, group);
  }

  private end(message: Message, group: string): void {
    this.share(message, group).state = "over";
    if (message.target !== "" || ![...this.groups.keys()].some((other) => this.isOwed(message, other))) this.drop(message);
  }

  private drop(message: Message): void {
    this.messages = this.messages.filter((other) => other !== message);
  }

  private known(id: string): number {
    const found = this.ids.get(id);
    return found !== undefined && found.endsAt > this.now ? found.sequence : 0;
  }
}
export interface Rules {
  readonly maxMessages: number;
  readonly maxDeliveries: number;
  readonly maxAcquired: number;
  readonly backoffMs: number;
  readonly dedupeWindowMs: number;
}

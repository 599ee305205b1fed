import type { ServerFrame } from "@trivet/wire";
import type { CommandStream } from "../command-stream.ts";
import type { Settings } from "../options.ts";
import type { ClientTracing } from "../tracing/tracing.ts";
import { Producer } from "./producer.ts";
import type { QueueClient, Watcher } from "./queue-client.ts";
import { QueueNames } from "./queue-names.ts";
import { Settler } from "./settler.ts";

/** What the queues of a connection share: names, batches, and who waits for what. */
export class Queues implements QueueClient {
  readonly stream: CommandStream;
  readonly names: QueueNames;
  readonly settler: Settler;
  readonly timeoutMs: number;
  readonly tracing: ClientTracing;
  readonly label: string;
  private readonly producers = new Map<string, Producer>();
  private readonly watchers = new Set<Watcher>();
  private readonly hinted = new Map<string, Set<Watcher>>();

  constructor(stream: CommandStream, settings: Settings, tracing: ClientTracing) {
    this.stream = stream;
    this.tracing = tracing;
    this.names = new QueueNames(stream);
    this.settler = new Settler(stream, tracing);
    this.timeoutMs = settings.commandTimeoutMs;
    this.label = settings.label;
  }

  /** Somebody awaits something: a silent node must be noticed. */
  get isWaiting(): boolean {
    return this.names.isWaiting || this.watchers.size > 0;
  }

  /** One for all handles of a queue, so that what they produce in one turn is one batch. */
  producer(name: string): Producer {
    let producer = this.producers.get(name);
    if (producer === undefined) this.producers.set(name, (producer = new Producer(name, this)));
    return producer;
  }

  enter(watcher: Watcher): void {
    this.watchers.add(watcher);
  }
  leave(watcher: Watcher): void {
    this.watchers.delete(watcher);
  }

  add(queue: number, group: string, watcher: Watcher): void {
    const key = `${queue}/${group}`;
    const watchers = this.hinted.get(key);
    if (watchers === undefined) this.hinted.set(key, new Set([watcher]));
    else watchers.add(watcher);
  }
  remove(queue: number, group: string, watcher: Watcher): void {
    const key = `${queue}/${group}`;
    const watchers = this.hinted.get(key);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.hinted.delete(key);
  }

  frame(frame: ServerFrame): void {
    if (frame.type === "queue-resolved") this.names.answered(frame);
    else if (frame.type === "queue-ready") {
      for (const watcher of this.hinted.get(`${frame.queue}/${frame.group}`) ?? []) watcher.hint(frame.partition);
    }
  }

  connected(): void {
    this.names.connected();
    for (const watcher of this.watchers) watcher.connected();
  }
  disconnected(): void {
    for (const watcher of this.watchers) watcher.disconnected();
  }
  leaving(): void {
    for (const watcher of this.watchers) watcher.leaving();
  }

  /** What consumers have in hand is released. */
  async close(): Promise<void> {
    await Promise.all([...this.watchers].map((watcher) => watcher.close()));
  }
}

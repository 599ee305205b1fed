import type { Durability } from "@trivet/engine";
import type { QueueDefinition } from "@trivet/wire";
import type { ConfirmedWrites } from "./confirmation.ts";
import type { RedisLink } from "./link.ts";
import type { RedisOptions } from "./options.ts";
import { partitionKeys, readyChannel } from "./partition-keys.ts";
import { type Reply, readReply } from "./replies.ts";
import { definitionText, type Request, type ScriptName, scripts } from "./requests.ts";

/** One queue as this node knows it. */
export class KnownQueue {
  readonly queue: number;
  readonly definition: QueueDefinition;
  readonly text: string;
  private readonly keys: (readonly string[])[] = [];

  constructor(queue: number, definition: QueueDefinition) {
    this.queue = queue;
    this.definition = definition;
    this.text = definitionText(queue, definition);
  }

  keysOf(prefix: string, partition: number): readonly string[] {
    return (this.keys[partition] ??= partitionKeys(prefix, this.definition.name, partition));
  }
}

/** Runs scripts on partitions. */
export class Partitions {
  private readonly link: RedisLink;
  /** Null = what is written is as safe as one answer of the primary. */
  private readonly writes: ConfirmedWrites | null;
  private readonly prefix: string;
  private readonly channel: string;

  constructor(link: RedisLink, writes: ConfirmedWrites | null, options: RedisOptions) {
    this.link = link;
    this.writes = writes;
    this.prefix = options.prefix;
    this.channel = readyChannel(options.prefix);
  }

  async run(name: ScriptName, known: KnownQueue, partition: number, request: Request): Promise<Reply> {
    const { keys, route, args } = this.call(known, partition, request);
    return readReply(await scripts[name].run(keys, args, (words) => this.link.send(route, words)));
  }

  /** The same, and how safe its writes are. */
  async write(
    name: ScriptName,
    known: KnownQueue,
    partition: number,
    request: Request,
  ): Promise<{ readonly reply: Reply; readonly durability: Durability }> {
    if (this.writes === null) return { reply: await this.run(name, known, partition, request), durability: "primary" };
    const { keys, route, args } = this.call(known, partition, request);
    const { reply, durability } = await this.writes.write(route, (send) => scripts[name].run(keys, args, send));
    return { reply: readReply(reply), durability };
  }

  private call(known: KnownQueue, partition: number, { fields, bytes }: Request) {
    const keys = known.keysOf(this.prefix, partition);
    const args = [known.text, JSON.stringify({ ...fields, partition, channel: this.channel }), ...bytes];
    return { keys, route: keys[0] ?? "", args };
  }
}

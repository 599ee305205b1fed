import type { Durability } from "@trivet/engine";
import type { QueueDefinition } from "@trivet/wire";
import type { Confirmations } from "./confirmation.ts";
import type { RedisLink } from "./link.ts";
import type { RedisAck, RedisOptions } from "./options.ts";
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
  private readonly confirmations: Confirmations;
  private readonly prefix: string;
  private readonly channel: string;

  constructor(link: RedisLink, confirmations: Confirmations, options: RedisOptions) {
    this.link = link;
    this.confirmations = confirmations;
    this.prefix = options.prefix;
    this.channel = readyChannel(options.prefix);
  }

  async run(name: ScriptName, known: KnownQueue, partition: number, request: Request): Promise<Reply> {
    const { keys, route, args } = this.call(known, partition, request);
    return readReply(await scripts[name].run(keys, args, (words) => this.link.send(route, words)));
  }

  /** The same, and how safe its writes are: as `ack` asks, or less. */
  async write(
    name: ScriptName,
    known: KnownQueue,
    partition: number,
    request: Request,
    ack: RedisAck,
  ): Promise<{ readonly reply: Reply; readonly durability: Durability }> {
    const writes = this.confirmations.of(ack);
    if (writes === null) return { reply: await this.run(name, known, partition, request), durability: "primary" };
    // A repeat changes nothing, and is confirmed with what it repeats: by a write behind it.
    const { keys, route, args } = this.call(known, partition, { ...request, fields: { ...request.fields, confirmed: true } });
    const { reply, durability } = await writes.write(route, (send) => scripts[name].run(keys, args, send));
    return { reply: readReply(reply), durability };
  }

  private call(known: KnownQueue, partition: number, { fields, bytes }: Request) {
    const keys = known.keysOf(this.prefix, partition);
    const args = [known.text, JSON.stringify({ ...fields, partition, channel: this.channel }), ...bytes];
    return { keys, route: keys[0] ?? "", args };
  }
}

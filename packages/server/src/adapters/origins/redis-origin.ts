import {
  type CacheOrigin,
  type Clock,
  type OriginAnswer,
  type OriginWrite,
  type OriginWritten,
  type Random,
  stampSuffix,
  type Telemetry,
} from "@trivet/engine";
import { ClusterLink } from "../redis/cluster-link.ts";
import { fateOf, reasonOf, type RedisLink, textOf, within } from "../redis/link.ts";
import type { RedisOptions } from "../redis/options.ts";
import { Script } from "../redis/script.ts";
import { ServerLink } from "../redis/server-link.ts";
import { originLimits } from "./limits.ts";
import { OriginHealth } from "./origin-health.ts";
import { stampKeyOf, writeScript } from "./redis-stamps.ts";

export interface OriginTools {
  readonly clock: Clock;
  readonly telemetry: Telemetry;
  readonly random: Random;
}

/**
 * Strings of a Redis as an origin: `GET`, and a script that writes a string and its stamp together. Connections are made, lost and found as those of queues are, from the first load on: where
 * no namespace comes from Redis, nobody connects.
 */
export class RedisOrigin implements CacheOrigin {
  readonly timeoutMs: number;
  private readonly options: RedisOptions;
  private readonly keyPattern: string;
  private readonly tools: OriginTools;
  private link: RedisLink | null = null;
  /** Until it is known for the first time whether there is a server. */
  private tried: Promise<void> | null = null;

  /** `keyPattern`: what a key is called there, with `{namespace}` and `{key}`. */
  constructor(options: RedisOptions, keyPattern: string, timeoutMs: number, tools: OriginTools) {
    this.options = options;
    this.keyPattern = keyPattern;
    this.timeoutMs = timeoutMs;
    this.tools = tools;
  }

  load(namespace: string, key: string, done: (answer: OriginAnswer) => void): void {
    this.get(this.nameOf(namespace, key)).then(done, (error: unknown) => done({ type: "failed", reason: reasonOf(error) }));
  }

  write(writes: readonly OriginWrite[], told: (place: number, outcome: OriginWritten) => void): void {
    for (const [place, write] of writes.entries()) {
      this.writeOne(write).then(
        (outcome) => told(place, outcome),
        (error: unknown) => told(place, { type: "unreachable", reason: reasonOf(error) }),
      );
    }
  }

  async close(): Promise<void> {
    await this.link?.close();
  }

  private nameOf(namespace: string, key: string): string {
    return this.keyPattern.replaceAll(/\{(namespace|key)\}/g, (_whole, part: string) => (part === "key" ? key : namespace));
  }

  private async writeOne({ key, namespace, stamp, value }: OriginWrite): Promise<OriginWritten> {
    const name = this.nameOf(namespace, key);
    if (name.endsWith(stampSuffix))
      return { type: "refused", reason: `names that end in ${stampSuffix} are kept for the stamps of others` };
    const bytes = value === null ? Buffer.alloc(0) : Buffer.from(value.buffer, value.byteOffset, value.byteLength);
    const args = [stamp, value === null ? "0" : "1", bytes, String(originLimits.deletedStampMs)];
    try {
      await (this.tried ??= this.open());
      const { link } = this;
      if (link === null) return { type: "unreachable", reason: "the connection was closed" };
      const run = script.run([name, stampKeyOf(name)], args, (command) => link.send(name, command));
      const reply = await within(this.tools.clock, this.timeoutMs, run);
      return reply === 1 ? { type: "written" } : { type: "newer", stamp: textOf(reply) };
    } catch (error) {
      return { type: fateOf(error) === "broken" ? "refused" : "unreachable", reason: reasonOf(error) };
    }
  }

  private async get(name: string): Promise<OriginAnswer> {
    if (name.endsWith(stampSuffix)) return { type: "absent" };
    await (this.tried ??= this.open());
    return answerOf(await this.link?.send(name, ["GET", name]));
  }

  private open(): Promise<void> {
    const { clock, random, telemetry } = this.tools;
    const { mode, node, nodes } = this.options;
    const address = nodes.map(({ host, port }) => `${host}:${port}`).join(",");
    const health = new OriginHealth(telemetry, { node, origin: "redis", address });
    return new Promise((resolve) => {
      const watcher = {
        up: () => {
          health.up();
          resolve();
        },
        down: (reason: string) => {
          health.down(reason);
          resolve();
        },
      };
      const tools = { clock, random: () => random.nextUint32() / 2 ** 32, watcher };
      this.link = mode === "cluster" ? new ClusterLink(this.options, tools) : new ServerLink(this.options, tools);
    });
  }
}

const script = new Script(writeScript);

function answerOf(reply: unknown): OriginAnswer {
  if (reply === null) return { type: "absent" };
  if (Buffer.isBuffer(reply)) return { type: "value", value: new Uint8Array(reply) };
  return { type: "failed", reason: "Redis answered GET with something else than a string" };
}

import type { Durability } from "@trivet/engine";
import { ErrorReply } from "@redis/client";
import { redisLimits } from "./limits.ts";
import { isForbidden, isMoved, isMoving, type RedisLink, type Sender } from "./link.ts";
import type { RedisAck } from "./options.ts";

const mayNotConfirm =
  "This user of Redis may not ask how far a produce has come, so it is answered with less than was asked for: grant it +wait for replicas:N, and for aof +config|get, from Redis 7.2 on +waitaof";

type Send = Sender["send"];
interface Waiting {
  readonly route: string;
  readonly run: (send: Send) => Promise<unknown>;
  readonly done: (reply: unknown, durability: Durability) => void;
  readonly failed: (error: unknown) => void;
}

/** Confirmed writes of every level that is asked for, each over links of its own: one that waits for replicas holds up nobody who does not. */
export class Confirmations {
  private readonly open: () => RedisLink;
  private readonly forbidden: (text: string) => void;
  private readonly levels: Map<RedisAck, { readonly link: RedisLink; readonly writes: ConfirmedWrites }> = new Map();

  /** `forbidden`: the user may not ask what was reached; may be told again and again. */
  constructor(open: () => RedisLink, forbidden: (text: string) => void) {
    this.open = open;
    this.forbidden = forbidden;
  }

  /** Null = nothing is to be confirmed. */
  of(ack: RedisAck): ConfirmedWrites | null {
    if (ack === "primary") return null;
    const known = this.levels.get(ack);
    if (known !== undefined) return known.writes;
    const link = this.open();
    const writes = new ConfirmedWrites(link, ack, this.forbidden);
    this.levels.set(ack, { link, writes });
    return writes;
  }

  async close(): Promise<void> {
    await Promise.all([...this.levels.values()].map(({ link }) => link.close()));
  }
}

/**
 * Writes whose durability is asked for, over a connection of their own: WAIT and WAITAOF count what their connection wrote, and block it. One
 * confirmation serves all writes that came while the one before was under way. What was reached is told, whether or not it was asked for.
 */
class ConfirmedWrites {
  private readonly link: RedisLink;
  private readonly ack: RedisAck;
  private readonly forbidden: (text: string) => void;
  private waiting: Waiting[] = [];
  private isUnderWay = false;

  constructor(link: RedisLink, ack: RedisAck, forbidden: (text: string) => void) {
    this.link = link;
    this.ack = ack;
    this.forbidden = forbidden;
  }

  write(route: string, run: (send: Send) => Promise<unknown>): Promise<{ readonly reply: unknown; readonly durability: Durability }> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ route, run, done: (reply, durability) => resolve({ reply, durability }), failed: reject });
      if (!this.isUnderWay) void this.drain();
    });
  }

  private async drain(): Promise<void> {
    this.isUnderWay = true;
    while (this.waiting.length > 0) await this.together(this.waiting.splice(0));
    this.isUnderWay = false;
  }

  /** Those of each connection are confirmed as one; no connection has more than one confirmation to wait for. */
  private async together(batch: readonly Waiting[]): Promise<void> {
    const bySender = new Map<Sender, Waiting[]>();
    for (const waiting of batch) {
      try {
        const sender = await this.link.pinned(waiting.route);
        const others = bySender.get(sender);
        if (others === undefined) bySender.set(sender, [waiting]);
        else others.push(waiting);
      } catch (error) {
        waiting.failed(error);
      }
    }
    await Promise.all([...bySender].map(([sender, group]) => this.confirmed(sender, group)));
  }

  private async confirmed(sender: Sender, batch: readonly Waiting[]): Promise<void> {
    const send: Send = (args) => sender.send(args);
    const replies = await Promise.allSettled(batch.map(({ run }) => run(send)));
    const durability = replies.some(({ status }) => status === "fulfilled") ? await this.confirm(sender) : "primary";
    replies.forEach((reply, at) => {
      const waiting = batch[at];
      if (reply.status === "fulfilled") waiting?.done(reply.value, durability);
      else if (waiting !== undefined) this.elsewhere(waiting, reply.reason);
    });
  }

  /** How safe what `sender` wrote is now; never throws, for what is written is written. */
  private async confirm(sender: Sender): Promise<Durability> {
    const { ack } = this;
    try {
      if (ack === "primary") return "primary";
      if (ack === "aof") return (await isInFile(sender)) ? "aof" : "primary";
      const reached = Number(await sender.send(["WAIT", ack.slice("replicas:".length), String(redisLimits.confirmMs)]));
      return reached > 0 ? `replicas:${reached}` : "primary";
    } catch (error) {
      if (isForbidden(error)) this.forbidden(mayNotConfirm);
      return "primary";
    }
  }

  /** The partition has moved to another node of the cluster: nothing happened here, and there nothing is confirmed. */
  private elsewhere({ done, failed, route, run }: Waiting, error: unknown): void {
    if (!isMoved(error) && !isMoving(error)) return failed(error);
    run((args) => this.link.send(route, args)).then((reply) => done(reply, "primary"), failed);
  }
}

/** By WAITAOF (Redis 7.2); before it, by what the server is set to: with `appendfsync always` nothing is answered before it is in the file. */
async function isInFile(sender: Sender): Promise<boolean> {
  try {
    const reply = await sender.send(["WAITAOF", "1", "0", String(redisLimits.confirmMs)]);
    return Array.isArray(reply) && Number(reply[0]) >= 1;
  } catch (error) {
    if (!(error instanceof ErrorReply) || !/unknown command|appendonly is disabled/i.test(error.message)) throw error;
  }
  const settings = await sender.send(["CONFIG", "GET", "append*", "no-appendfsync-on-rewrite"]);
  const said = Array.isArray(settings) ? settings.map(String) : [];
  const valueOf = (name: string): string | undefined => said[said.indexOf(name) + 1];
  // While the file is written anew, such a server does not sync either.
  return valueOf("appendonly") === "yes" && valueOf("appendfsync") === "always" && valueOf("no-appendfsync-on-rewrite") === "no";
}

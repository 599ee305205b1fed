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

/** Writes of one connection that wait for the confirmation before theirs. */
interface Line {
  waiting: Waiting[];
  isUnderWay: boolean;
}

/**
 * Writes whose durability is asked for, over connections of their own: WAIT and WAITAOF count what their connection wrote, and block it. One
 * confirmation serves all writes that came while the one before on its connection was under way; in a cluster a node that is slow holds up none of
 * another. What was reached is told, whether or not it was asked for.
 */
class ConfirmedWrites {
  private readonly link: RedisLink;
  private readonly ack: RedisAck;
  private readonly forbidden: (text: string) => void;
  private readonly lines: WeakMap<Sender, Line> = new WeakMap();
  /** The last write to each route whose connection is being looked for: those behind it keep their order, also while there is none yet. */
  private readonly looking: Map<string, Promise<void>> = new Map();

  constructor(link: RedisLink, ack: RedisAck, forbidden: (text: string) => void) {
    this.link = link;
    this.ack = ack;
    this.forbidden = forbidden;
  }

  write(route: string, run: (send: Send) => Promise<unknown>): Promise<{ readonly reply: unknown; readonly durability: Durability }> {
    return new Promise((resolve, reject) => {
      const waiting: Waiting = { route, run, done: (reply, durability) => resolve({ reply, durability }), failed: reject };
      const mine = this.join(waiting, this.looking.get(route));
      this.looking.set(route, mine);
      void mine.then(() => this.looking.get(route) === mine && this.looking.delete(route));
    });
  }

  /** Into the line of the connection that its route has, behind `before`. Never rejects. */
  private async join(waiting: Waiting, before: Promise<void> | undefined): Promise<void> {
    await before;
    try {
      const sender = await this.link.pinned(waiting.route);
      const line = this.lines.get(sender) ?? { waiting: [], isUnderWay: false };
      this.lines.set(sender, line);
      line.waiting.push(waiting);
      if (!line.isUnderWay) void this.drain(sender, line);
    } catch (error) {
      waiting.failed(error);
    }
  }

  /** No connection has more than one confirmation to wait for. */
  private async drain(sender: Sender, line: Line): Promise<void> {
    line.isUnderWay = true;
    while (line.waiting.length > 0) await this.confirmed(sender, line.waiting.splice(0));
    line.isUnderWay = false;
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

import { type Command, commandNumbers, decodeCommand, type FrameCursor, shardCommandNumbers } from "@trivet/wire";
import { type AccessControl, whyNoStream } from "../../security/access-control.ts";
import { allows, type Identity, type Resource } from "../../security/policy.ts";
import type { HttpContext } from "../context.ts";
import type { RateLimiter } from "../../security/rate-limiter.ts";

/** Who is at the other end of a stream. */
export class StreamCaller {
  /** Null without access control. */
  readonly identity: Identity | null;
  /** What is administered is audited, and that takes a call over HTTP: a frame of the stream cannot wait for the disk. */
  readonly isAudited: boolean;
  private readonly limiter: RateLimiter | null;
  private readonly access: AccessControl | null;
  private readonly name: string;

  constructor(
    identity: Identity | null,
    address: string | undefined,
    { limiter, audit, access }: Pick<HttpContext, "limiter" | "audit" | "access">,
  ) {
    this.access = access;
    this.identity = identity;
    this.isAudited = audit !== null;
    this.limiter = limiter;
    this.name = callerName(identity, address);
  }

  /** `end` is called when this caller may no longer have its stream; the answer is called when the stream is over before that. */
  whileAllowed(end: (why: string) => void): () => void {
    const { access, identity } = this;
    if (access === null || identity === null) return () => undefined;
    return access.whileAllowed(
      identity,
      () => whyNoStream(identity),
      (_code, why) => end(why),
    );
  }

  /** Null = so many commands may go their way; else after how long they may. */
  take(count: number): number | null {
    return this.limiter === null ? null : this.limiter.take(this.name, count);
  }
}

/** Whose bucket a call is taken from. */
export const callerName = (identity: Identity | null, address: string | undefined): string =>
  identity?.principal ?? `address ${address ?? ""}`;
const overRate = "this caller is over its rate (RATE_LIMIT_PER_SECOND)";

/** Only a leader proposes these, for itself (rule L1); the node registry and the placement are kept by the hosts, and each node anchors its own audit log. */
const reservedCommands: ReadonlySet<number> = new Set([
  commandNumbers.expire,
  commandNumbers["set-node"],
  commandNumbers["forget-node"],
  commandNumbers["replace-node"],
  commandNumbers["drain-node"],
  commandNumbers["set-placement"],
  commandNumbers["raise-level"],
  commandNumbers["anchor-audit"],
]);

/** Whom a command acts for; null where it says nothing about that. */
function principalOf(command: Command): string | null {
  if ("principal" in command) return command.principal;
  return "actor" in command ? command.actor.principal : null;
}

export interface FrameRefusal {
  readonly code: "forbidden" | "overloaded";
  readonly retryAfterMs: number;
  readonly detail: string;
}

/** Why a frame of the stream is refused as a whole; null = it may go its way. */
export function refusalOf(cursor: FrameCursor, caller: StreamCaller, count: number): FrameRefusal | null {
  const detail = whyForbidden(cursor, caller);
  if (detail !== null) return { code: "forbidden", retryAfterMs: 0, detail };
  return rateRefusal(caller, count);
}

export function rateRefusal(caller: StreamCaller, count: number): FrameRefusal | null {
  const retryAfterMs = caller.take(count);
  return retryAfterMs === null ? null : { code: "overloaded", retryAfterMs, detail: overRate };
}

/** The bytes are not decoded where nobody is asked who they are and nothing is audited. */
function whyForbidden(cursor: FrameCursor, caller: StreamCaller): string | null {
  const isPlain = caller.identity === null && !caller.isAudited;
  while (cursor.next()) {
    const { command } = cursor;
    if (isPlain) {
      if (reservedCommands.has(command.u8())) return "a command that only nodes may send";
      continue;
    }
    const why = whyForbiddenTo(decodeCommand(command), caller);
    if (why !== null) return why;
  }
  return null;
}

/** What only an admin may do, as over HTTP; all commands, so that a new one does not compile until it stands here. */
const administrationOf: Readonly<Record<Command["type"], Resource | null>> = {
  nothing: null,
  "open-session": null,
  "close-session": null,
  acquire: null,
  release: null,
  "release-set": null,
  upgrade: null,
  downgrade: null,
  "set-lease": null,
  cancel: null,
  "force-release": "locks",
  "define-queue": null,
  "delete-queue": "queues",
  "define-namespace": "cache",
  "delete-namespace": "cache",
  // Refused before, whoever sends them.
  expire: "cluster",
  "set-node": "cluster",
  "forget-node": "cluster",
  "replace-node": "cluster",
  "drain-node": "cluster",
  "set-placement": "cluster",
  "raise-level": "cluster",
  "anchor-audit": "cluster",
};
function administered(command: Command): Resource | null {
  if (command.type === "define-queue" && command.settings.paused !== undefined) return "queues";
  return administrationOf[command.type];
}

const overHttp = "administration is audited at this node: call it over HTTP, or use the trivet command";

function whyForbiddenTo(command: Command, { identity, isAudited }: StreamCaller): string | null {
  if (reservedCommands.has(commandNumbers[command.type])) return "a command that only nodes may send";
  const resource = administered(command);
  if (isAudited && resource !== null) return overHttp;
  if (identity === null) return null;
  // What the SDK holds is held by the principal "": whoever may use a stream may write everywhere. Holds of keys that call over HTTP are theirs.
  const principal = principalOf(command);
  if (principal !== null && principal !== "") return `the principal "${principal}" is not this stream's`;
  return resource === null || allows(identity, "admin", resource, null) ? null : `${identity.principal} may not admin ${resource}`;
}

/** Commands of shards that only an admin of queues may send. */
const administration: ReadonlySet<number> = new Set([shardCommandNumbers["purge-queue"], shardCommandNumbers["delete-group"]]);

/** Null = it may go its way. */
export function whyForbiddenToShard(number: number, { identity, isAudited }: StreamCaller): string | null {
  if (!administration.has(number)) return null;
  if (isAudited) return overHttp;
  return identity === null || allows(identity, "admin", "queues", null) ? null : `${identity.principal} may not admin queues`;
}

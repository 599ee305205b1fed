import type { GroupId } from "@trivet/core";
import {
  CallerLanes,
  decodeShardAnswer,
  encodeSingleCommandFrame,
  formatRequestId,
  type ShardCommand,
  type ShardResult,
} from "@trivet/wire";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";
import type { NodeHost } from "../node/node-host.ts";
import { notAfterOf, pastDeadline } from "../calls/submission-outcomes.ts";
import type { SubmitOptions, Unavailable, Unknown } from "../ports/calls.ts";
import type { CacheRefusal } from "./cache-api.ts";
import type { HolderHost } from "./holder-host.ts";
import { askHome } from "./home-calls.ts";

interface Call {
  readonly deadline: number;
  readonly idempotency?: SubmitOptions["idempotency"];
}
type Answered = { readonly type: "answered"; readonly result: ShardResult; readonly requestId: string };
export type WriteAnswer = Answered | CacheRefusal | Unavailable | Unknown;

interface Framed {
  readonly frame: Uint8Array;
  readonly caller: string;
  readonly sequence: number;
  readonly requestId: string;
}

/** Commands of this node's callers, each in a frame of its own: they go to the homes of their lines, not to the log (rule M3), and are executed once (rule X1). */
export class CacheWrites {
  private readonly host: NodeHost;
  private readonly lanes = new Map<GroupId, CallerLanes<object>>();

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** Of one line. */
  write(
    group: GroupId,
    holder: HolderHost,
    line: string,
    command: ShardCommand,
    keep: boolean,
    call: Call,
    done: (answer: WriteAnswer) => void,
  ): void {
    const framed = this.frame(group, command, call);
    if (framed === null) return this.host.ports.clock.defer(() => done(tooMany));
    const { caller, frame, requestId, sequence } = framed;
    holder.write(line, frame, keep, call.deadline, (outcome) => {
      const lanes = this.lanes.get(group);
      if (outcome === null) {
        lanes?.giveUp(caller, sequence);
        done({ type: "unknown", requestId });
      } else {
        lanes?.answer(caller, sequence);
        done(decoded(outcome.answer, requestId));
      }
    });
  }

  /** Of a tag or of a namespace, in one shard. */
  invalidate(group: GroupId, namespace: number, tag: string | null, call: Call, done: (answer: WriteAnswer) => void): void {
    const framed = this.frame(group, { type: "cache-invalidate", namespace, tag: tag ?? "" }, call);
    if (framed === null) return this.host.ports.clock.defer(() => done(tooMany));
    const { caller, requestId, sequence } = framed;
    const question = { type: "invalidate", namespace, tag, frame: encodeBase64(framed.frame) } as const;
    askHome(this.host, group, question, call.deadline, (reply, wasAsked) => {
      const lanes = this.lanes.get(group);
      const bytes = reply?.type === "answered" ? decodeBase64(reply.answer) : null;
      if (bytes === null) {
        lanes?.giveUp(caller, sequence);
        done(wasAsked ? { type: "unknown", requestId } : notLed);
      } else {
        lanes?.answer(caller, sequence);
        done(decoded(bytes, requestId));
      }
    });
  }

  private frame(group: GroupId, command: ShardCommand, { deadline, idempotency }: Call): Framed | null {
    const { clock } = this.host.ports;
    const notAfter = notAfterOf(this.host.groupTime.now(), { timeoutMs: Math.max(0, deadline - clock.now()) });
    if (idempotency !== undefined) {
      const { fingerprint, key: caller } = idempotency;
      const requestId = formatRequestId({ group, caller, sequence: 1, notAfter });
      return { frame: encodeSingleCommandFrame(caller, fingerprint, notAfter, command), caller, sequence: 1, requestId };
    }
    const lanes = this.lanesOf(group);
    const sequence = lanes.submit(command, notAfter, Number.POSITIVE_INFINITY, {});
    if (sequence === 0) return null;
    const { caller } = lanes;
    let frame = new Uint8Array(0);
    // At once: a frame of several commands could not go through the homes of several lines.
    lanes.collect(({ bytes }) => {
      frame = bytes as Uint8Array<ArrayBuffer>;
    });
    return { frame, caller, sequence, requestId: formatRequestId({ group, caller, sequence, notAfter }) };
  }

  private lanesOf(group: GroupId): CallerLanes<object> {
    let lanes = this.lanes.get(group);
    if (lanes === undefined) {
      lanes = new CallerLanes({ newCaller: () => this.host.ports.random.hex(16), exactDeadlines: true });
      this.lanes.set(group, lanes);
    }
    return lanes;
  }
}

const tooMany: Unavailable = {
  type: "unavailable",
  code: "overloaded",
  retryAfterMs: 100,
  detail: "too many commands of this node are unanswered",
};
export const notLed: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "no leader of the key's shard was reached in time; nothing happened",
};
export const notMember: Unavailable = {
  type: "unavailable",
  code: "no_leader",
  retryAfterMs: 200,
  detail: "this node is not a member of a cluster yet, or takes part in no shards",
};

function decoded(bytes: Uint8Array, requestId: string): WriteAnswer {
  const result = decodeShardAnswer(bytes);
  if (result.type === "malformed") return { type: "malformed", detail: result.detail };
  if (result.type === "refused") return result.reason === "past-deadline" ? pastDeadline : { type: "refused", reason: result.reason };
  return { type: "answered", result, requestId };
}

/** What a shard said instead of doing it. */
export function refusalOf(result: ShardResult): CacheRefusal {
  switch (result.type) {
    case "cache-conflict":
      return { type: "conflict", reason: result.reason, version: result.version };
    case "cache-full":
      if (result.limit === "behind") return { type: "origin-behind", max: result.max };
      return { type: "cache-full", limit: result.limit, max: result.max };
    case "cache-not-a-number":
      return { type: "not-a-number" };
    case "fence-behind":
      return { type: "fence-behind", lock: result.lock, highest: String(result.highest) };
    default:
      return { type: "malformed", detail: `unexpected answer ${result.type}` };
  }
}

import { mutant } from "#mutation";
import type { CacheCommand, ShardResult } from "@trivet/wire";
import { assertNever } from "../../kernel/assert.ts";
import type { ShardAnswer } from "../../queues/answer.ts";
import type { ShardContext } from "../../queues/context.ts";
import { type CachedRecord, nothingRecorded } from "../messages.ts";
import { forgetHolder, markLeases, registerHolder } from "./holders.ts";
import { expire, invalidate } from "./invalidate.ts";
import { configureNamespace, dropNamespace, namespaceOf } from "./namespaces.ts";
import { flushed } from "./outbox.ts";
import { latestVersion, liveValue } from "./value-table.ts";
import { increment, put, remove } from "./write.ts";

/** One cache command of a shard's log. What only the home may say comes in frames without a caller. */
export function decideCache(shard: ShardContext, command: CacheCommand, origin: "caller" | "leader"): ShardAnswer {
  switch (command.type) {
    case "configure-namespace":
    case "drop-namespace":
    case "cache-expire":
    case "cache-flushed":
    case "register-holder":
    case "forget-holder":
    case "lease-barrier":
    case "lease-resume":
      if (origin !== "leader" && !mutant("cache-leader-command-by-caller")) {
        return { type: "malformed", detail: `${command.type} is the leader's to propose` };
      }
      return ofLeader(shard, command);
    default:
      return ofCaller(shard, command);
  }
}

type CallerCommand = Extract<CacheCommand, { readonly type: "cache-put" | "cache-delete" | "cache-increment" | "cache-invalidate" }>;

function ofLeader(shard: ShardContext, command: Exclude<CacheCommand, CallerCommand>): ShardResult {
  switch (command.type) {
    case "configure-namespace":
      return configureNamespace(shard, command.namespace, command.definition);
    case "drop-namespace":
      return dropNamespace(shard, command.namespace);
    case "cache-expire":
      return expire(shard, command);
    case "cache-flushed":
      return flushed(shard, command);
    case "register-holder":
      return registerHolder(shard, command);
    case "forget-holder":
      return forgetHolder(shard, command);
    case "lease-barrier":
    case "lease-resume":
      return markLeases(shard, command);
    default:
      return assertNever(command);
  }
}

function ofCaller(shard: ShardContext, command: CallerCommand): ShardResult {
  const { namespace } = command;
  const definition = namespaceOf(shard, namespace);
  const version = definition?.version ?? 0;
  // Rule G1: a sender that knows a newer definition waits for it to come here.
  const isOlder = command.type !== "cache-invalidate" && command.version > version && !mutant("cache-older-definition-used");
  if (definition === undefined || isOlder) return { type: "no-namespace", namespace, version };
  switch (command.type) {
    case "cache-put":
      return put(shard, definition, command);
    case "cache-delete":
      return remove(shard, definition, command);
    case "cache-increment":
      return increment(shard, definition, command);
    case "cache-invalidate":
      return invalidate(shard, command);
    default:
      return assertNever(command);
  }
}

/** What a reader is told of a key, and whether its time is over: then the home ends it before it is told to anybody. */
export function readValue(
  shard: ShardContext,
  namespace: number,
  key: string,
  now: number,
): { readonly record: CachedRecord; readonly isDue: boolean } {
  const asOf = latestVersion(shard);
  // What a dropped namespace has left is cleared in steps, and nobody's to read. Who asks may not have heard that it is gone: nothing is known of it.
  const isThere = namespaceOf(shard, namespace) !== undefined || mutant("cache-dropped-namespace-read");
  if (!isThere) return { record: nothingRecorded, isDue: false };
  const found = liveValue(shard, namespace, key);
  if (found === undefined) return { record: { ...nothingRecorded, asOf }, isDue: false };
  const { endsAt, packing, tags, value, version } = found;
  const ttlMs = endsAt === 0 ? 0 : Math.max(endsAt - now, 1);
  const packed = packing === undefined ? {} : { packing };
  return { record: { version, value, ...packed, tags, ttlMs, asOf }, isDue: endsAt > 0 && endsAt <= now };
}

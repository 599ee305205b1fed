import { mutant } from "#mutation";
import { type Command, levelOf } from "@trivet/wire";
import type { DrainNode, Expire, ForgetNode, ReplaceNode, Result, SetNode } from "@trivet/wire";
import { assertNever } from "../kernel/assert.ts";
import { acquire } from "../locks/acquire.ts";
import { done } from "../locks/answers.ts";
import { cancel } from "../locks/cancel.ts";
import { expireDelay, expireGrant, expireWait, setLease } from "../locks/lease.ts";
import type { LockState } from "../locks/lock-state.ts";
import { releaseSet } from "../locks/multi-key.ts";
import { forceRelease, release } from "../locks/release.ts";
import { downgrade, upgrade } from "../locks/upgrade.ts";
import { endSession } from "../sessions/end-session.ts";
import type { AuditAnchors } from "./audit-anchors.ts";
import type { NodeRegistry } from "./node-registry.ts";
import type { PlacementRecord } from "./placement-record.ts";
import type { FeatureLevelRecord } from "./feature-level.ts";
import type { NamespaceRegistry } from "./namespace-registry.ts";
import type { QueueRegistry } from "./queue-registry.ts";

/** What commands change. */
interface Parts {
  readonly lockState: LockState;
  readonly registry: NodeRegistry;
  readonly queueRegistry: QueueRegistry;
  readonly namespaceRegistry: NamespaceRegistry;
  readonly placementRecord: PlacementRecord;
  readonly features: FeatureLevelRecord;
  readonly auditAnchors: AuditAnchors;
}

/**
 * One command on the state. Total: every command has an outcome, whatever the state. A number is the id of the wait that will bring
 * the answer to (caller, sequence).
 */
export function execute(parts: Parts, command: Command, caller: string, sequence: number): Result | number {
  const { lockState: locks } = parts;
  // Of this command only: what an earlier one left here is no replicated state, and a restored replica does not have it.
  locks.grantedOwners.length = 0;
  // The level itself is told to whoever may not know it: it is only raised when all do.
  const needed = command.type === "raise-level" ? 0 : levelOf(command);
  if (needed > parts.features.level && !mutant("system-level-not-asked"))
    return { type: "malformed", detail: `this needs feature level ${needed}, and the cluster is at ${parts.features.level}` };
  switch (command.type) {
    case "nothing":
      return done;
    case "open-session":
      return locks.sessions.open(command);
    case "close-session":
      return endSession(locks, command.session, "closed");
    case "acquire":
      return acquire(locks, command, caller, sequence);
    case "release":
      return release(locks, command);
    case "release-set":
      return releaseSet(locks, command);
    case "upgrade":
      return upgrade(locks, command, caller, sequence);
    case "downgrade":
      return downgrade(locks, command);
    case "set-lease":
      return setLease(locks, command);
    case "cancel":
      return cancel(locks, command);
    case "force-release":
      return forceRelease(locks, command);
    case "expire":
      // Only a leader's own frames, which have no caller, may say that time is over (rule L1).
      if (caller !== "" && !mutant("lock-expire-by-caller")) return { type: "malformed", detail: "expiry is the leader's to propose" };
      return expire(locks, command);
    case "set-node":
    case "forget-node":
    case "replace-node":
    case "drain-node":
      // Members are the leader's to write down (rules G4, G5): a client must not redirect peers to an address of its choice.
      if (caller !== "" && !mutant("system-registry-by-caller"))
        return { type: "malformed", detail: "the node registry is the leader's to write" };
      return register(parts, command);
    case "define-queue":
      return parts.queueRegistry.define(command);
    case "delete-queue":
      return parts.queueRegistry.delete(command.name);
    case "define-namespace":
      return parts.namespaceRegistry.define(command);
    case "delete-namespace":
      return parts.namespaceRegistry.delete(command.name);
    case "set-placement":
      if (caller !== "" && !mutant("system-placement-by-caller"))
        return { type: "malformed", detail: "the placement is the leader's to write" };
      return parts.placementRecord.set(command);
    case "raise-level":
      if (caller !== "" && !mutant("system-level-by-caller")) return { type: "malformed", detail: "the level is the leader's to raise" };
      return parts.features.raise(command);
    case "anchor-audit":
      // Any node's to say, of its own log: the gateways take it from no client.
      return parts.auditAnchors.anchor(command);
    default:
      return assertNever(command);
  }
}

function register({ registry: nodes, auditAnchors }: Parts, command: SetNode | ForgetNode | ReplaceNode | DrainNode): Result {
  switch (command.type) {
    case "set-node":
      return nodes.set(command);
    case "forget-node":
      return forget(nodes, auditAnchors, command.node);
    case "replace-node":
      return nodes.replace(command);
    case "drain-node":
      return nodes.drain(command);
    default:
      return assertNever(command);
  }
}

function forget(nodes: NodeRegistry, anchors: AuditAnchors, node: string): Result {
  const result = nodes.forget(node);
  anchors.trim();
  return result;
}

function expire(locks: LockState, command: Expire): Result {
  switch (command.kind) {
    case "session":
      return endSession(locks, command.id, "expired");
    case "grant":
      return expireGrant(locks, command.id);
    case "wait":
      return expireWait(locks, command.id);
    case "lock-delay":
      return expireDelay(locks, command.id);
    default:
      return assertNever(command.kind);
  }
}

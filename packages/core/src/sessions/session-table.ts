import { mutant } from "#mutation";
import type { Actor, OpenSession, Result } from "@trivet/wire";
import { avalanche, hashText, mix } from "../system/digest.ts";
import type { Ledger } from "../system/ledger.ts";
import { ShardedMap } from "../system/sharded-map.ts";
import { Account } from "./account.ts";

/** Open sessions, and the accounts of principals that hold or wait without one. */
export class SessionTable {
  readonly sessions: ShardedMap<Account> = new ShardedMap();
  readonly principals: Map<string, Account> = new Map();
  /** Replicated counter: ids are never reused. */
  lastSession = 0;
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  open(command: OpenSession): Result {
    const { ledger } = this;
    if (command.ttlMs === 0) return { type: "malformed", detail: "a session needs a ttl" };
    if (this.sessions.size >= ledger.limits.sessions && !mutant("session-quota-ignored")) {
      return { type: "quota", limit: "sessions", max: ledger.limits.sessions };
    }
    const id = mutant("session-id-reused") ? this.sessions.size + 1 : ++this.lastSession;
    const account = new Account(id, command.principal, ledger.epoch);
    account.label = command.label;
    account.ttlMs = command.ttlMs;
    account.lockDelayMs = command.lockDelayMs;
    account.openedAt = ledger.groupTime;
    this.insert(account);
    ledger.timers?.armed("session", id, command.ttlMs);
    ledger.sink.changed({ type: "session-opened", session: id });
    return { type: "session-opened", session: id, ttlMs: command.ttlMs };
  }

  /** Takes in a session that is complete; also the snapshot loader's way. */
  insert(account: Account): void {
    this.sessions.add(account.session, account);
    account.digest = sessionDigest(account);
    this.ledger.digest.add(account.digest);
  }

  remove(account: Account): void {
    const { ledger } = this;
    if (ledger.images !== null && account.epoch !== ledger.epoch && !mutant("snapshot-no-image-session")) {
      account.epoch = ledger.epoch;
      ledger.images.session(account);
    }
    this.sessions.remove(account.session);
    ledger.digest.remove(account.digest);
    if (!mutant("session-timer-not-cleared")) ledger.timers?.cleared("session", account.session);
  }

  /** The account that `actor` acts for; null when its session is over, or is not its principal's. */
  accountOf(actor: Actor): Account | null {
    if (actor.session === 0) return this.principals.get(actor.principal) ?? this.addPrincipal(actor.principal);
    const account = this.sessions.get(actor.session);
    if (account === undefined) return null;
    // Session ids are counted, so they can be guessed: one principal must not act in another's session.
    if (account.principal !== actor.principal && !mutant("session-foreign-principal")) return null;
    return account;
  }

  /** The same for reading: never makes an account. */
  existingAccountOf(actor: Actor): Account | null {
    return actor.session === 0 ? (this.principals.get(actor.principal) ?? null) : this.accountOf(actor);
  }

  /** A principal without holds and waits costs nothing. */
  dropIfIdle(account: Account): void {
    if (account.session === 0 && account.firstHold === null && account.firstWait === null) this.principals.delete(account.principal);
  }

  addPrincipal(principal: string): Account {
    const account = new Account(0, principal, this.ledger.epoch);
    this.principals.set(principal, account);
    return account;
  }
}

export function sessionDigest(account: Account): number {
  let hash = mix(hashText(account.principal) ^ 0x53455353, account.session);
  hash = mix(hash, hashText(account.label));
  hash = mix(hash, account.ttlMs);
  hash = mix(hash, account.lockDelayMs);
  return avalanche(mix(hash, account.openedAt));
}

import { mutant } from "#mutation";
import { invariant } from "../kernel/assert.ts";
import type { HomeEffect, HomeEvent, HomeState, ScopeOp } from "./home-state.ts";
import { mayWrite } from "./home-phase.ts";
import { awaits, withdraw } from "./home-withdrawals.ts";
import { type LineName, namespaceOf, type WriteOutcome } from "./messages.ts";

/** Invalidation of a tag or of a namespace: no line of it is read or written meanwhile (rule M8). */
export function scopeAsked(home: HomeState, { command, id, namespace, tag }: Extract<HomeEvent, { readonly type: "invalidate" }>): void {
  const scope = { type: "namespace", namespace, tag } as const;
  const op: ScopeOp = { scope, asker: { type: "local", id }, command, waits: new Map(), phase: "queued" };
  const before = home.scopes.get(namespace);
  if (before === undefined) home.scopes.set(namespace, [op]);
  else before.push(op);
}

/** Is an invalidation of this line's namespace under way, or waiting for what is under way? */
export function isScoped(home: HomeState, line: LineName): boolean {
  if (home.scopes.size === 0 || mutant("coherence-scope-ignored-by-lines")) return false;
  return home.scopes.has(namespaceOf(line));
}

/** Goes on with each invalidation that can; the first of a namespace begins once nothing of it is under way. */
export function advanceScopes(home: HomeState, effects: HomeEffect[]): void {
  for (const [namespace, [op]] of home.scopes) {
    if (op === undefined) continue;
    if (op.phase === "queued" && mayWrite(home) && !isBusy(home, namespace)) {
      op.phase = "withdrawing";
      for (const session of home.sessions.values()) {
        // Who has no line here has nothing to give up.
        if (session.lines.size === 0) continue;
        const wait = withdraw(home, session, op.scope, effects);
        op.waits.set(session.holder, wait);
        awaits(session, wait, { type: "scope", namespace });
      }
    }
    if (op.phase === "withdrawing" && op.waits.size === 0) commit(home, op, effects);
  }
}

function isBusy(home: HomeState, namespace: string): boolean {
  if (mutant("coherence-scope-ignored-by-lines")) return false;
  return home.busy.has(namespace);
}

function commit(home: HomeState, op: ScopeOp, effects: HomeEffect[]): void {
  op.phase = "committing";
  const proposal = home.nextNumber++;
  home.proposals.set(proposal, { type: "scope", namespace: op.scope.namespace });
  effects.push({ type: "propose", proposal, what: { type: "write", command: op.command, asker: op.asker } });
}

/** Copies that were withdrawn stay in the directory: that somebody may have more than it has costs an invalidation, no more. */
export function scopeApplied(home: HomeState, namespace: string, outcome: WriteOutcome | null, effects: HomeEffect[]): void {
  const ops = home.scopes.get(namespace);
  const op = ops?.shift();
  invariant(op?.phase === "committing", "coherence-applied-scope-waited-for");
  if (ops?.length === 0) home.scopes.delete(namespace);
  if (op.asker.type === "local") effects.push({ type: "answer", id: op.asker.id, outcome });
  for (const line of home.blocked.get(namespace) ?? []) home.touched.add(line);
}

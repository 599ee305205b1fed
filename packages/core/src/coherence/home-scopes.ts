import { mutant } from "#mutation";
import { invariant } from "../kernel/assert.ts";
import type { HomeEffect, HomeEvent, HomeState, ScopeOp } from "./home-state.ts";
import { mayWrite } from "./home-phase.ts";
import { withdraw } from "./home-withdrawals.ts";
import { type LineName, namespaceOf, type WriteOutcome } from "./messages.ts";

/** Invalidation of a tag or of a namespace: no line of it is read or written meanwhile (rule M8). */
export function scopeAsked(home: HomeState, { command, id, namespace, tag }: Extract<HomeEvent, { readonly type: "invalidate" }>): void {
  const scope = { type: "namespace", namespace, tag } as const;
  home.scopes.push({ number: home.nextNumber++, scope, asker: { type: "local", id }, command, waits: new Map(), phase: "queued" });
}

/** Is an invalidation of this line's namespace under way, or waiting for what is under way? */
export function isScoped(home: HomeState, line: LineName): boolean {
  if (home.scopes.length === 0 || mutant("coherence-scope-ignored-by-lines")) return false;
  const namespace = namespaceOf(line);
  return home.scopes.some((op) => op.scope.namespace === namespace);
}

/** Goes on with each invalidation that can; the first of a namespace begins once nothing of it is under way. */
export function advanceScopes(home: HomeState, effects: HomeEffect[]): void {
  if (home.scopes.length === 0) return;
  const taken = new Set<string>();
  for (const op of home.scopes) {
    const { namespace } = op.scope;
    const isFirst = !taken.has(namespace);
    taken.add(namespace);
    if (isFirst && op.phase === "queued" && mayWrite(home) && !isBusy(home, namespace)) {
      op.phase = "withdrawing";
      for (const session of home.sessions.values()) {
        // Who has no line here has nothing to give up.
        if (session.lines.size > 0) op.waits.set(session.holder, withdraw(home, session, op.scope, effects));
      }
    }
    if (op.phase === "withdrawing" && op.waits.size === 0) commit(home, op, effects);
  }
}

function isBusy(home: HomeState, namespace: string): boolean {
  if (mutant("coherence-scope-ignored-by-lines")) return false;
  for (const line of home.busy) if (namespaceOf(line) === namespace) return true;
  return false;
}

function commit(home: HomeState, op: ScopeOp, effects: HomeEffect[]): void {
  op.phase = "committing";
  const proposal = home.nextNumber++;
  home.proposals.set(proposal, { type: "scope", scope: op.number });
  effects.push({ type: "propose", proposal, what: { type: "write", command: op.command, asker: op.asker } });
}

/** Copies that were withdrawn stay in the directory: that somebody may have more than it has costs an invalidation, no more. */
export function scopeApplied(home: HomeState, number: number, outcome: WriteOutcome | null, effects: HomeEffect[]): void {
  const at = home.scopes.findIndex((scope) => scope.number === number);
  const [op] = home.scopes.splice(at, 1);
  invariant(at >= 0 && op !== undefined, "coherence-applied-scope-waited-for");
  if (op.asker.type === "local") effects.push({ type: "answer", id: op.asker.id, outcome });
  for (const line of home.blocked) home.touched.add(line);
}

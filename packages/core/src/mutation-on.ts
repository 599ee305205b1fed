/**
 * Simulator build only (`--conditions=mutants`): named bugs that the simulator must catch (docs/verification.md).
 * The one piece of module state in the core, and it does not exist in production.
 */
let active: ReadonlySet<string> = new Set();
let reached = new Set<string>();

export function mutant(name: string): boolean {
  if (!active.has(name)) return false;
  reached.add(name);
  return true;
}

/** Turns exactly these mutants on. */
export function activateMutants(names: readonly string[]): void {
  active = new Set(names);
  reached = new Set();
}

/** Mutants whose branch was reached since activation. A mutant that is never reached was not tested. */
export function reachedMutants(): readonly string[] {
  return [...reached];
}

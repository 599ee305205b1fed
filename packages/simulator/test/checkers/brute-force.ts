import type { Model, Operation } from "@trivet/simulator";

/** Tries every order of every subset that contains all answered operations. For histories of at most seven operations. */
export function bruteForce<S, In, Out>(model: Model<S, In, Out>, operations: readonly Operation<In, Out>[]): boolean {
  const used = new Set<number>();
  const search = (state: S): boolean => {
    if (operations.every((operation, index) => used.has(index) || operation.ret === null)) return true;
    for (const [index, operation] of operations.entries()) {
      if (used.has(index)) continue;
      const mustWait = operations.some((other, i) => i !== index && !used.has(i) && other.ret !== null && other.ret < operation.call);
      if (mustWait) continue;
      used.add(index);
      const found = model.step(state, operation.input, operation.output).some((next) => search(next));
      used.delete(index);
      if (found) return true;
    }
    return false;
  };
  return search(model.initial);
}

/**
 * How many elements are looked at while `run` runs: steps of iterators over maps, sets and arrays, and whatever searches an array by itself. Counted, not
 * timed, so that quadratic work shows on any machine.
 */
export function workOf(run: () => void): number {
  let steps = 0;
  const undo: (() => void)[] = [];
  for (const sample of [new Map().entries(), new Set().values(), [][Symbol.iterator]()]) {
    const prototype = Object.getPrototypeOf(sample) as { next: () => unknown };
    const { next } = prototype;
    prototype.next = function counted(this: unknown): unknown {
      steps++;
      return Reflect.apply(next, this, []);
    };
    undo.push(() => void (prototype.next = next));
  }
  const arrays = Array.prototype as unknown as Record<string, (this: readonly unknown[], ...given: unknown[]) => unknown>;
  for (const name of ["some", "every", "filter", "find", "findIndex", "indexOf", "includes", "map", "flatMap", "forEach"]) {
    const original = arrays[name];
    if (original === undefined) continue;
    arrays[name] = function counted(...given) {
      steps += this.length;
      return Reflect.apply(original, this, given);
    };
    undo.push(() => void (arrays[name] = original));
  }
  try {
    run();
  } finally {
    for (const restore of undo) restore();
  }
  return steps;
}

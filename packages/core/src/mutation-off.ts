/** Production: no mutant is ever on, and the JIT removes the branch. The simulator build swaps this file (see mutation-on.ts). */
export function mutant(_name: string): boolean {
  return false;
}

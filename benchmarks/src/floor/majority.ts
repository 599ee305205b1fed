/** How many commands a majority of three has on disk: the middle one of the three positions. */
export function majorityOfThree(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

import { Prng } from "@trivet/core";

/** `requests` keys out of `keys`, the r-th most popular with a probability in proportion to 1 / r^exponent. */
export function zipfKeys(keys: number, exponent: number, requests: number, seed: number): Int32Array {
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 1; rank <= keys; rank++) {
    sum += rank ** -exponent;
    sums[rank - 1] = sum;
  }
  const prng = new Prng(seed);
  return Int32Array.from({ length: requests }, () => rankAt(sums, prng.next() * sum));
}

/** The first rank whose sum exceeds `point`. */
function rankAt(sums: Float64Array, point: number): number {
  let low = 0;
  let high = sums.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sums[middle] as number) <= point) low = middle + 1;
    else high = middle;
  }
  return low;
}

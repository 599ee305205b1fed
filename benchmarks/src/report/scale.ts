/** Maps values to pixels. */
export interface Scale {
  at(value: number): number;
  readonly ticks: readonly number[];
}

/** Steps of 1, 2 or 5 × 10^n, about `count` of them up to `max`. */
export function niceTicks(max: number, count: number): number[] {
  if (!(max > 0)) return [0, 1];
  const rough = max / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const ticks: number[] = [];
  for (let index = 0; (index - 1) * step < max; index++) ticks.push(Number((index * step).toPrecision(12)));
  return ticks;
}

/** From zero to the first nice value at or above `max`. */
export function linearScale(max: number, from: number, to: number): Scale {
  const ticks = niceTicks(max, 5);
  const top = ticks.at(-1) ?? 1;
  return { at: (value) => from + ((to - from) * value) / top, ticks };
}

/** Whole powers of ten around the values. Values must be above zero. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const low = Math.floor(Math.log10(Math.min(...values)) + 1e-9);
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9));
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => Number((10 ** (low + index)).toPrecision(3)));
  return { at: (value) => from + ((to - from) * (Math.log10(value) - low)) / (high - low), ticks };
}

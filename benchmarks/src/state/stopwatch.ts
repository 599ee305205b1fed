/** What a piece of work cost: all of it, its longest step, and the processor time of the process meanwhile. */
export interface Cost {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly longestMs: number;
  readonly steps: number;
}

/** Runs `step` until it returns false. */
export function measureSteps(step: () => boolean): Cost {
  const before = process.cpuUsage();
  const startedAt = performance.now();
  let longestMs = 0;
  let steps = 0;
  for (let more = true; more; steps++) {
    const stepAt = performance.now();
    more = step();
    longestMs = Math.max(longestMs, performance.now() - stepAt);
  }
  const { user, system } = process.cpuUsage(before);
  return { wallMs: performance.now() - startedAt, cpuMs: (user + system) / 1000, longestMs, steps };
}

/** Measures `work` `times` times; each is one step. */
export function measureTimes(times: number, work: (time: number) => void): Cost {
  let done = 0;
  return measureSteps(() => {
    work(done++);
    return done < times;
  });
}

import type { Clock, Timer } from "../ports/clock.ts";

/** How a node's clock differs from true time. */
export interface ClockSkew {
  /** Seconds of the node per true second. */
  readonly rate?: number;
  /** Added to its monotonic clock. */
  readonly offsetMs?: number;
  /** Added to its wall clock. */
  readonly wallOffsetMs?: number;
}

class Task implements Timer {
  readonly at: number;
  readonly order: number;
  /** Null once it ran or was cancelled. */
  run: (() => void) | null;

  constructor(at: number, order: number, run: () => void) {
    this.at = at;
    this.order = order;
    this.run = run;
  }

  cancel(): void {
    this.run = null;
  }
}

function before(a: Task, b: Task): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/**
 * Virtual time. Nothing happens by itself: `step` runs the next due callback and moves time forward. Callbacks of one instant run in
 * the order they were asked for, deferred ones before timers; so a run depends on nothing but what is scheduled.
 */
export class MemoryClock implements Clock {
  private time: number;
  private readonly wallStart: number;
  private order = 0;
  private readonly heap: Task[] = [];
  private deferred: (() => void)[] = [];
  private running: (() => void)[] = [];
  private runningAt = 0;

  constructor(start = 1000, wallStart = 1_700_000_000_000) {
    this.time = start;
    this.wallStart = wallStart - start;
  }

  now(): number {
    return this.time;
  }

  wallNow(): number {
    return this.wallStart + this.time;
  }

  schedule(delayMs: number, run: () => void): Timer {
    const task = new Task(this.time + Math.max(0, delayMs), this.order++, run);
    this.push(task);
    return task;
  }

  defer(run: () => void): void {
    this.deferred.push(run);
  }

  /** A node's own view of this clock. */
  view(skew: ClockSkew = {}): ClockView {
    return new ClockView(this, skew);
  }

  /** Time of the next callback, or null when nothing is scheduled. */
  nextAt(): number | null {
    if (this.runningAt < this.running.length || this.deferred.length > 0) return this.time;
    return this.peek()?.at ?? null;
  }

  /** Runs the next callback, moving time to it. False = nothing is scheduled. */
  step(): boolean {
    const deferred = this.nextDeferred();
    if (deferred !== null) {
      deferred();
      return true;
    }
    const task = this.peek();
    if (task === null) return false;
    this.pop();
    if (task.at > this.time) this.time = task.at;
    const { run } = task;
    task.run = null;
    run?.();
    return true;
  }

  /** Runs everything due up to `time` and leaves the clock there. */
  runUntil(time: number): void {
    for (let next = this.nextAt(); next !== null && next <= time; next = this.nextAt()) this.step();
    if (time > this.time) this.time = time;
  }

  advance(ms: number): void {
    this.runUntil(this.time + ms);
  }

  /** Runs until nothing is scheduled, or `condition` holds. Throws after `maxSteps`: something reschedules itself for ever. */
  runUntilIdle(condition: () => boolean = () => false, maxSteps = 10_000_000): void {
    for (let steps = 0; !condition() && this.step(); steps++) {
      if (steps >= maxSteps) throw new Error(`still busy after ${maxSteps} steps`);
    }
  }

  private nextDeferred(): (() => void) | null {
    if (this.runningAt >= this.running.length) {
      if (this.deferred.length === 0) return null;
      [this.running, this.deferred] = [this.deferred, this.running];
      this.deferred.length = 0;
      this.runningAt = 0;
    }
    return this.running[this.runningAt++] ?? null;
  }

  /** The next task that was not cancelled. */
  private peek(): Task | null {
    for (;;) {
      const [top] = this.heap;
      if (top === undefined) return null;
      if (top.run !== null) return top;
      this.pop();
    }
  }

  private push(task: Task): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(task);
    while (at > 0) {
      const up = (at - 1) >>> 1;
      const parent = heap[up] as Task;
      if (!before(task, parent)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = task;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Task, heap[child] as Task)) child++;
      if (!before(heap[child] as Task, last)) break;
      heap[at] = heap[child] as Task;
      at = child;
    }
    heap[at] = last;
  }
}

/**
 * The clock of one simulated node: drifting, and stoppable. While it is paused (SIGSTOP), its callbacks wait and run in order on
 * resume, with the time that has passed meanwhile; once killed, none runs any more.
 */
export class ClockView implements Clock {
  private readonly base: MemoryClock;
  private readonly rate: number;
  private readonly origin: number;
  private readonly offset: number;
  private wallOffset: number;
  private state: "running" | "paused" | "killed" = "running";
  private waiting: (() => void)[] = [];

  constructor(base: MemoryClock, skew: ClockSkew) {
    this.base = base;
    this.rate = skew.rate ?? 1;
    this.origin = base.now();
    this.offset = skew.offsetMs ?? 0;
    this.wallOffset = skew.wallOffsetMs ?? 0;
  }

  now(): number {
    return this.origin + this.offset + (this.base.now() - this.origin) * this.rate;
  }

  wallNow(): number {
    return this.base.wallNow() + this.wallOffset;
  }

  jumpWallClock(ms: number): void {
    this.wallOffset += ms;
  }

  schedule(delayMs: number, run: () => void): Timer {
    let wanted: (() => void) | null = run;
    const guarded = this.guard(() => {
      const now = wanted;
      wanted = null;
      now?.();
    });
    const timer = this.base.schedule(delayMs / this.rate, guarded);
    return {
      cancel: () => {
        wanted = null;
        timer.cancel();
      },
    };
  }

  defer(run: () => void): void {
    this.base.defer(this.guard(run));
  }

  /** Makes a callback from outside (a frame, a finished I/O) obey pause and kill like the node's own. */
  guard(run: () => void): () => void {
    return () => {
      if (this.state === "running") run();
      else if (this.state === "paused") this.waiting.push(run);
    };
  }

  get alive(): boolean {
    return this.state !== "killed";
  }

  pause(): void {
    if (this.state === "running") this.state = "paused";
  }

  resume(): void {
    if (this.state !== "paused") return;
    this.state = "running";
    const { waiting } = this;
    this.waiting = [];
    for (const run of waiting) this.base.defer(this.guard(run));
  }

  kill(): void {
    this.state = "killed";
    this.waiting = [];
  }
}

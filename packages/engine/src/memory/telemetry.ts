import type { LogLevel, Telemetry } from "../ports/telemetry.ts";

export class NullTelemetry implements Telemetry {
  readonly isVerbose = false;
  log(): void {}
  count(): void {}
  observe(): void {}
}

export interface LoggedLine {
  readonly level: LogLevel;
  readonly event: string;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** Keeps what was reported, for tests. */
export class MemoryTelemetry implements Telemetry {
  readonly isVerbose = true;
  readonly lines: LoggedLine[] = [];
  readonly counters: Map<string, number> = new Map();
  /** Number and sum of what was observed, by name. */
  readonly observations: Map<string, { readonly count: number; readonly sum: number }> = new Map();

  log(level: LogLevel, event: string, text: string, fields: Readonly<Record<string, unknown>> = {}): void {
    this.lines.push({ level, event, text, fields });
  }

  count(name: string, by: number): void {
    this.counters.set(name, (this.counters.get(name) ?? 0) + by);
  }

  observe(name: string, value: number): void {
    const { count, sum } = this.observations.get(name) ?? { count: 0, sum: 0 };
    this.observations.set(name, { count: count + 1, sum: sum + value });
  }
}

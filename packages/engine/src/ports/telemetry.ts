/** Log lines, counters and timings out of the engine. Implementations must not throw. */
export type LogLevel = "debug" | "info" | "warn" | "error";
export interface Telemetry {
  /** Somebody reads lines of the level `debug`: where dozens come with every heartbeat, they need not be made for nobody. */
  readonly isVerbose: boolean;
  /** `event` is a stable token (for example "raft.leader"); `text` is for people; `fields` are structured. */
  log(level: LogLevel, event: string, text: string, fields?: Readonly<Record<string, unknown>>): void;
  /** Adds to a counter named in the contract's metric list. */
  count(name: string, by: number, labels?: Readonly<Record<string, string>>): void;
  /** Records one observation, in the metric's base unit. */
  observe(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}

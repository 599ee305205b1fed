/** A start that cannot be: one line for the person who asked for it, and the exit code (78 configuration, 64 wrong usage, 74 storage). */
export class ConfigError extends Error {
  readonly code = "configuration";
  readonly exitCode: 64 | 74 | 78;
  /** All faults, the first one being the message. */
  readonly faults: readonly string[];
  /** What to do about it, when that is not the usual. */
  readonly next: string | null;
  constructor(exitCode: 64 | 74 | 78, first: string, others: readonly string[] = [], next: string | null = null) {
    super(others.length === 0 ? first : `${first} (and ${others.length} more: \`trivet config check\`)`);
    this.name = "ConfigError";
    this.exitCode = exitCode;
    this.faults = [first, ...others];
    this.next = next;
  }
}

import type { LogLevel, Telemetry } from "@trivet/engine";
import { eventRules, type LogEvent } from "./events.ts";
import type { Fields, Logger } from "./logger.ts";
import type { Labels, Metrics } from "./metrics.ts";
import { LineLimiter } from "./rate-limit.ts";
import { StartQuiet } from "./start-quiet.ts";

const limitIntervalMs = 5_000;

/** The engine's telemetry on this node's logger and metrics. Never throws. */
export class NodeTelemetry implements Telemetry {
  readonly #logger: Logger;
  readonly #metrics: Metrics;
  readonly #limiter: LineLimiter;
  readonly #quiet: StartQuiet;
  #isStarting = false;

  constructor(logger: Logger, metrics: Metrics, now: () => number) {
    this.#logger = logger;
    this.#metrics = metrics;
    this.#limiter = new LineLimiter(limitIntervalMs, now);
    this.#quiet = new StartQuiet((event) => this.#write(event));
  }

  get isVerbose(): boolean {
    return this.#logger.isOn("debug");
  }

  log(level: LogLevel, event: string, text: string, fields: Fields = {}): void {
    // Nobody reads it, and there are dozens with every heartbeat. What a rule makes of such a line is no louder than it was.
    if (level === "debug" && !this.#logger.isOn("debug")) return;
    const rule = eventRules[event];
    const given: LogEvent = { level, event, text, fields };
    const shaped = rule?.shape?.(given) ?? given;
    if (this.#quiet.holds(shaped)) {
      this.#write({ ...shaped, level: "debug" });
      return;
    }
    if (rule?.limit === undefined || shaped.level === "debug" || this.#logger.level === "debug") {
      this.#write(shaped);
      return;
    }
    const held = this.#limiter.admit(rule.limit(shaped));
    if (held === null) this.#write({ ...shaped, level: "debug" });
    else
      this.#write(
        held === 0
          ? shaped
          : { ...shaped, text: `${shaped.text} (${held} more like this since)`, fields: { ...shaped.fields, held_back: held } },
      );
  }

  /** From now on until `started`, why the node cannot start is told by whoever started it; the log files have it as well. */
  starting(): void {
    this.#isStarting = true;
  }

  started(): void {
    this.#isStarting = false;
  }

  /** The node begins to look for the others: of peers that cannot be reached only those are told that still are after so long. */
  quietStart(forMs: number): void {
    this.#quiet.begin(forMs);
  }

  /** No more lines about the start. */
  stop(): void {
    this.#quiet.stop();
  }

  #write(event: LogEvent): void {
    if (this.#isStarting && event.event === "node.failed") this.#logger.note(event.level, event.event, event.text, event.fields);
    else this.#logger.log(event.level, event.event, event.text, event.fields);
  }

  count(name: string, by: number, labels?: Labels): void {
    this.#metrics.count(name, by, labels);
  }

  observe(name: string, value: number, labels?: Labels): void {
    this.#metrics.observe(name, value, labels);
  }
}

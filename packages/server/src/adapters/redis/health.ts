import type { Telemetry } from "@trivet/engine";
import type { LinkWatcher } from "./link.ts";
import { addressesOf, type RedisOptions } from "./options.ts";

/** Says once that Redis is lost and once that it is back, however many attempts lie between. */
export class LinkHealth implements LinkWatcher {
  private readonly telemetry: Telemetry;
  private readonly options: RedisOptions;
  private readonly onUp: () => void;
  private state: "unknown" | "up" | "down" = "unknown";

  constructor(telemetry: Telemetry, options: RedisOptions, onUp: () => void) {
    this.telemetry = telemetry;
    this.options = options;
    this.onUp = onUp;
  }

  get isUp(): boolean {
    return this.state === "up";
  }

  up(): void {
    if (this.state !== "up") {
      const text = this.state === "down" ? "Redis is back: queues work again" : "Connected to Redis, where the messages of queues are";
      this.telemetry.log("info", "redis.up", text, this.fields());
      this.state = "up";
    }
    this.onUp();
  }

  down(reason: string): void {
    if (this.state === "down") return;
    this.state = "down";
    const text = `Redis at ${addressesOf(this.options)} cannot be reached: ${reason}. Queues answer redis_unavailable until it is back; locks do not need it`;
    this.telemetry.log("error", "redis.down", text, { ...this.fields(), reason });
  }

  private fields(): Readonly<Record<string, unknown>> {
    const { mode, node } = this.options;
    return { node, mode, address: addressesOf(this.options) };
  }
}

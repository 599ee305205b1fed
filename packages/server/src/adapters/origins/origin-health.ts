import type { Telemetry } from "@trivet/engine";

/** Says once that an origin is lost and once that it is back, however many attempts lie between. */
export class OriginHealth {
  private readonly telemetry: Telemetry;
  private readonly origin: string;
  private readonly address: string;
  private state: "unknown" | "up" | "down" = "unknown";

  /** `address` is for people: without a password. */
  constructor(telemetry: Telemetry, origin: string, address: string) {
    this.telemetry = telemetry;
    this.origin = origin;
    this.address = address;
  }

  up(): void {
    if (this.state === "up") return;
    const text = this.state === "down" ? "is back: values are loaded from it again" : "is connected: values can be loaded from it";
    this.state = "up";
    this.telemetry.log("info", "origin.up", `The origin ${this.origin} at ${this.address} ${text}`, this.fields());
  }

  down(reason: string): void {
    if (this.state === "down") return;
    this.state = "down";
    const text = `The origin ${this.origin} at ${this.address} cannot be reached: ${reason}. Values that are stored are served; others answer origin_unavailable until it is back`;
    this.telemetry.log("error", "origin.down", text, { ...this.fields(), reason });
  }

  private fields(): Readonly<Record<string, unknown>> {
    return { origin: this.origin, address: this.address };
  }
}

import type { Telemetry } from "@trivet/engine";

/** What log lines say of an origin and of who reads it. */
export interface OriginPlace {
  readonly node: string;
  readonly origin: string;
  /** For people: without a password. */
  readonly address: string;
}

/** Says once that an origin is lost and once that it is back, however many attempts lie between. */
export class OriginHealth {
  private readonly telemetry: Telemetry;
  private readonly told: OriginPlace;
  private state: "unknown" | "up" | "down" = "unknown";

  constructor(telemetry: Telemetry, told: OriginPlace) {
    this.telemetry = telemetry;
    this.told = told;
  }

  up(): void {
    if (this.state === "up") return;
    const text = this.state === "down" ? "is back: values are loaded from it again" : "is connected: values can be loaded from it";
    this.state = "up";
    this.telemetry.log("info", "origin.up", `The origin ${this.name()} ${text}`, { ...this.told });
  }

  down(reason: string): void {
    if (this.state === "down") return;
    this.state = "down";
    const text = `The origin ${this.name()} cannot be reached: ${reason}. Values that are stored are served; others answer origin_unavailable until it is back`;
    this.telemetry.log("error", "origin.down", text, { ...this.told, reason });
  }

  private name(): string {
    return `${this.told.origin} at ${this.told.address}`;
  }
}

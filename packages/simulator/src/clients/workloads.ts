import type { Violation } from "../checkers/history.ts";
import type { Workload } from "./workload.ts";

/** Several in one world; faults of clients strike each in turn. */
export class Workloads implements Workload {
  readonly name = "all";
  private readonly parts: readonly Workload[];

  constructor(parts: readonly Workload[]) {
    this.parts = parts;
  }

  start(): void {
    for (const part of this.parts) part.start();
  }
  wind(): void {
    for (const part of this.parts) part.wind();
  }
  issued(): number {
    return this.parts.reduce((sum, part) => sum + part.issued(), 0);
  }
  answered(): number {
    return this.parts.reduce((sum, part) => sum + part.answered(), 0);
  }
  settled(): boolean {
    return this.parts.every((part) => part.settled());
  }
  open(): readonly string[] {
    return this.parts.flatMap((part) => part.open());
  }
  stall(client: number, durationMs: number): void {
    this.part(client)?.stall(client, durationMs);
  }
  kill(client: number): void {
    this.part(client)?.kill(client);
  }
  check(): Violation | null {
    for (const part of this.parts) {
      const found = part.check();
      if (found !== null) return found;
    }
    return null;
  }

  private part(client: number): Workload | undefined {
    return this.parts[client % this.parts.length];
  }
}

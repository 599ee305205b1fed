import { setTimeout as pause } from "node:timers/promises";
import { pick, scenarios, type ScenarioName } from "./scenarios.ts";
import type { Tally } from "./tally.ts";

const timeoutMs = 30_000;

type Body = Readonly<Record<string, unknown>>;

/** One simulated user: one call after the other, always with its own name. */
export class User {
  readonly #scenario: ScenarioName;
  readonly #hosts: readonly string[];
  readonly #tally: Tally;
  readonly #owner: string;
  readonly #stop: AbortSignal;
  #host: string;

  constructor(number: number, scenario: ScenarioName, hosts: readonly string[], tally: Tally, stop: AbortSignal) {
    this.#scenario = scenario;
    this.#hosts = hosts;
    this.#tally = tally;
    this.#stop = stop;
    this.#owner = `load-${number}-${Math.floor(Math.random() * 2 ** 30)}`;
    this.#host = hosts[number % hosts.length] ?? "";
  }

  /** Until it is told to stop; a call under way is finished first. */
  async run(): Promise<void> {
    const { tasks, pause: between } = scenarios[this.#scenario];
    const [least, most] = between;
    while (!this.#stop.aborted) {
      await pick(tasks, Math.random)(this);
      const restMs = (least + Math.random() * (most - least)) * 1_000;
      await pause(restMs, undefined, { signal: this.#stop }).catch(() => undefined);
    }
  }

  async lock(names: number, mode: "exclusive" | "shared" = "exclusive", elsewhere = false): Promise<void> {
    if (elsewhere) this.#moveOn();
    const resource = `load-${Math.floor(Math.random() * names)}`;
    const taken = await this.#ask("POST", "/locks/acquire", { expected: [423, 409], body: { resource, owner: this.#owner, mode } });
    if (taken === null) return;
    if (elsewhere) this.#moveOn();
    await this.#ask("POST", "/locks/release", { body: { resource, owner: this.#owner } });
  }

  async produce(topic: string): Promise<void> {
    await this.#ask("POST", "/queue/produce", { body: { topic, message: { from: this.#owner, n: Math.random() } } });
  }

  async consume(topic: string): Promise<void> {
    const answer = await this.#ask("POST", "/queue/consume", { body: { topic } });
    const token = answer?.["ack_token"];
    // 409: the lease was over, and somebody else has the message now.
    if (typeof token === "string") await this.#ask("POST", "/queue/ack", { expected: [409], body: { ack_token: token } });
  }

  async look(): Promise<void> {
    await this.#ask("GET", ["/health", "/raft/leader", "/locks"][Math.floor(Math.random() * 3)] ?? "/health");
  }

  async read(keys: number): Promise<void> {
    await this.#ask("GET", "/cache/get", { query: `?key=load:${Math.floor(Math.random() * keys)}` });
  }

  async write(keys: number): Promise<void> {
    const key = `load:${Math.floor(Math.random() * keys)}`;
    await this.#ask("POST", "/cache/put", { body: { key, value: { by: this.#owner, n: Math.random() } } });
  }

  #moveOn(): void {
    this.#host = this.#hosts[Math.floor(Math.random() * this.#hosts.length)] ?? this.#host;
  }

  /** One call; gives the body of a success. `expected`: statuses that belong to the work. */
  async #ask(
    method: string,
    path: string,
    { expected = [], body, query = "" }: { readonly expected?: readonly number[]; readonly body?: Body; readonly query?: string } = {},
  ): Promise<Body | null> {
    const name = `${method} ${path}`;
    const begun = performance.now();
    try {
      const answer = await fetch(`${this.#host}${path}${query}`, {
        method,
        signal: AbortSignal.timeout(timeoutMs),
        ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      const ms = performance.now() - begun;
      if (answer.ok) {
        this.#tally.succeeded(name, ms);
        return JSON.parse(text) as Body;
      }
      if (expected.includes(answer.status)) this.#tally.expected(name, answer.status, ms);
      else this.#tally.unexpected(name, `${answer.status} ${text.slice(0, 200)}`, ms);
    } catch (error) {
      const { message, cause } = error as Error;
      this.#tally.unexpected(name, cause instanceof Error ? `${message}: ${cause.message}` : message, performance.now() - begun);
      // A node that is away refuses at once: asking it without a pause would only count refusals.
      await pause(100, undefined, { signal: this.#stop }).catch(() => undefined);
    }
    return null;
  }
}

import { Agent, request } from "node:http";
import { LockBusy, type Granted, type LockClient, type Released } from "../driver/lock-client.ts";

const leaseMs = 60_000;
const timeoutMs = 30_000;

/** One connection, kept alive, one request after the other: any program with an HTTP library. */
export class HttpClient implements LockClient {
  readonly holders: null = null;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1, noDelay: true });
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
  }

  prepare(): Promise<void> {
    return Promise.resolve();
  }

  #post(path: string, body: unknown, done: (error: Error | null, status: number, answer: unknown) => void): void {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { "content-type": "application/json", "content-length": bytes.length };
    const call = request(`${this.#url}${path}`, { method: "POST", agent: this.#agent, headers, timeout: timeoutMs });
    call.once("error", (error) => {
      done(error, 0, null);
    });
    call.once("timeout", () => {
      call.destroy(new Error(`no answer within ${timeoutMs} ms`));
    });
    call.once("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.once("end", () => {
        done(null, response.statusCode ?? 0, JSON.parse(Buffer.concat(chunks).toString()));
      });
    });
    call.end(bytes);
  }

  acquire(caller: number, name: string, waitMs: number, done: Granted): void {
    const body = { owner: `caller-${caller}`, ttl_ms: leaseMs, wait_ms: waitMs };
    this.#post(`/v1/locks/${encodeURIComponent(name)}/acquire`, body, (error, status, answer) => {
      if (error !== null) done(error, null);
      else if (status === 200) done(null, (answer as { readonly fence: string }).fence);
      else if (status === 423) done(new LockBusy(`${name} is held`), null);
      else done(new Error(`acquire answered ${status}: ${JSON.stringify(answer)}`), null);
    });
  }

  release(caller: number, name: string, handle: unknown, done: Released): void {
    const body = { owner: `caller-${caller}`, fence: handle };
    this.#post(`/v1/locks/${encodeURIComponent(name)}/release`, body, (error, status, answer) => {
      if (error !== null) done(error);
      else if (status === 200) done(null);
      else done(new Error(`release answered ${status}: ${JSON.stringify(answer)}`));
    });
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }
}

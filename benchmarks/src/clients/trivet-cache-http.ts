import { Agent, request } from "node:http";
import type { CacheClient } from "../driver/cache-client.ts";

const timeoutMs = 30_000;

/** Ours over plain HTTP, one kept connection to one node: copies are the node's. */
export class TrivetHttpCache implements CacheClient {
  readonly peek: null = null;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1, noDelay: true });
  readonly #url: string;

  constructor([url]: readonly string[]) {
    if (url === undefined) throw new Error("a client needs an address");
    this.#url = url;
  }

  get(key: string): Promise<unknown> {
    return this.#call("GET", key, null);
  }

  set(key: string, value: string): Promise<unknown> {
    return this.#call("PUT", key, JSON.stringify({ value }));
  }

  textOf(answer: unknown): string | null {
    const { value } = answer as { readonly value?: string | null };
    return value ?? null;
  }

  counts(): null {
    return null;
  }

  #call(method: "GET" | "PUT", key: string, body: string | null): Promise<unknown> {
    const url = `${this.#url}/v1/cache/${encodeURIComponent(key)}`;
    const headers = body === null ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) };
    return new Promise((resolve, reject) => {
      const call = request(url, { method, agent: this.#agent, headers, timeout: timeoutMs }, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.once("error", reject);
        response.once("end", () => {
          if (response.statusCode === 200) resolve(JSON.parse(text));
          else reject(new Error(`${method} ${key} answered ${response.statusCode}: ${text.slice(0, 200)}`));
        });
      });
      call.once("error", reject);
      call.once("timeout", () => {
        call.destroy(new Error(`no answer within ${timeoutMs} ms`));
      });
      call.end(body ?? undefined);
    });
  }

  close(): Promise<void> {
    this.#agent.destroy();
    return Promise.resolve();
  }
}

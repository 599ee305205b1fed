import { Agent, request } from "node:http";
import type { PlainQueue } from "../driver/alias-loop.ts";
import { decodeMessage, encodeMessage } from "../driver/message.ts";

const timeoutMs = 30_000;

interface Answer {
  readonly status?: string;
  readonly message?: { readonly text?: string } | null;
  readonly ack_token?: string;
}

/** The three queue calls of S4 (POST /queue/produce, /queue/consume, /queue/ack), spread over all nodes in turn. */
export class AliasQueue implements PlainQueue {
  readonly #agent: Agent;
  readonly #urls: readonly string[];
  readonly #topic: string;
  #calls = 0;

  constructor(urls: readonly string[], topic: string, connections: number) {
    this.#urls = urls;
    this.#topic = topic;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, noDelay: true });
  }

  async put(id: number): Promise<void> {
    const text = Buffer.from(encodeMessage({ id, key: 0, place: 0 })).toString("latin1");
    const { status } = await this.#post("/queue/produce", { topic: this.#topic, message: { text } });
    if (status !== "ok") throw new Error(`produce answered status ${String(status)}`);
  }

  async take(): Promise<{ readonly id: number; readonly token: string } | null> {
    const { message, ack_token: token } = await this.#post("/queue/consume", { topic: this.#topic });
    if (message === null || message === undefined) return null;
    if (message.text === undefined || token === undefined) throw new Error("consume answered a message without text or ack_token");
    return { id: decodeMessage(Buffer.from(message.text, "latin1")).id, token };
  }

  async acknowledge(token: string): Promise<void> {
    await this.#post("/queue/ack", { ack_token: token });
  }

  #post(path: string, body: unknown): Promise<Answer> {
    const bytes = Buffer.from(JSON.stringify(body));
    const headers = { "content-type": "application/json", "content-length": bytes.length };
    const url = `${this.#urls[this.#calls++ % this.#urls.length]}${path}`;
    return new Promise((resolve, reject) => {
      const call = request(url, { method: "POST", agent: this.#agent, headers, timeout: timeoutMs }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.once("error", reject);
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString();
          if (response.statusCode === 200) resolve(JSON.parse(text) as Answer);
          else reject(new Error(`${path} answered ${response.statusCode}: ${text.slice(0, 200)}`));
        });
      });
      call.once("error", reject);
      call.once("timeout", () => {
        call.destroy(new Error(`no answer within ${timeoutMs} ms`));
      });
      call.end(bytes);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

import type { ProcessKeeper, Started } from "../processes.ts";
import { tailOf } from "../processes.ts";
import { siblingModule } from "../modules.ts";
import { within } from "../waiting.ts";
import type { ClientCall, ClientCalls, ClientReply, ClientRequest, ClientTarget, Service } from "./protocol.ts";

const startMs = 30_000;

interface Pending {
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** The parent's side of a client process. */
export class ClientProcess {
  readonly #started: Started;
  readonly #keeper: ProcessKeeper;
  readonly #pending = new Map<number, Pending>();
  #calls = 0;

  private constructor(keeper: ProcessKeeper, started: Started) {
    this.#keeper = keeper;
    this.#started = started;
    started.child.on("message", (message) => {
      const reply = message as ClientReply;
      const pending = this.#pending.get(reply.id);
      this.#pending.delete(reply.id);
      if (reply.type === "answer") pending?.resolve(reply.result);
      else pending?.reject(new Error(`${started.name}: ${reply.message}`));
    });
    void started.exited.then(() => {
      const error = new Error(`${started.name} ended: ${tailOf(started.logPath)}`);
      for (const pending of this.#pending.values()) pending.reject(error);
      this.#pending.clear();
    });
  }

  get pid(): number {
    return this.#started.pid;
  }

  /** Starts the process and waits until its client is connected. */
  static async start(keeper: ProcessKeeper, target: ClientTarget, service: Service, logPath: string): Promise<ClientProcess> {
    const started = keeper.fork(siblingModule(import.meta.url, "./process"), [JSON.stringify(target), service], {
      name: `client of ${target.kind}`,
      logPath,
    });
    const client = new ClientProcess(keeper, started);
    await within(`client of ${target.kind} connects`, startMs, client.#answer(0));
    return client;
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
    });
  }

  async call<C extends ClientCall>(call: C, options: ClientCalls[C]["options"], timeoutMs: number): Promise<ClientCalls[C]["result"]> {
    this.#calls++;
    const request: ClientRequest = { id: this.#calls, call, options };
    const answer = this.#answer(request.id);
    this.#started.child.send(request);
    return (await within(`${this.#started.name}: ${call}`, timeoutMs, answer)) as ClientCalls[C]["result"];
  }

  /** SIGKILL: its connections end, and nothing is said on them. */
  async kill(): Promise<void> {
    await this.#keeper.kill(this.#started);
  }

  /** SIGSTOP: its connections stay, and nothing is said on them. Only `kill` ends it then. */
  pause(): void {
    this.#started.child.kill("SIGSTOP");
  }

  async stop(): Promise<void> {
    await this.#keeper.stop(this.#started);
  }
}

/** Does something again and again, never twice at once, until it is stopped. */
export class Periodic {
  readonly #task: () => void | Promise<void>;
  readonly #timer: NodeJS.Timeout;
  #underWay: Promise<void> | null = null;
  #failure: Error | null = null;

  constructor(everyMs: number, task: () => void | Promise<void>) {
    this.#task = task;
    this.#timer = setInterval(() => {
      if (this.#underWay === null) void this.#do();
    }, everyMs);
  }

  async #do(): Promise<void> {
    this.#underWay = this.#once();
    await this.#underWay;
    this.#underWay = null;
  }

  async #once(): Promise<void> {
    try {
      await this.#task();
    } catch (error) {
      this.#failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }

  /** Once it has ended what is under way. Throws the first thing that went wrong: nobody was there to hear it. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#underWay;
    if (this.#failure !== null) throw this.#failure;
  }
}

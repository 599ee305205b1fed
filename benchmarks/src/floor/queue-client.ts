import type { Consumption, QueueClient } from "../driver/queue-client.ts";
import { messageBytes } from "../driver/message.ts";
import { connectPipe, type Pipe } from "./client.ts";

/** Presents the floor as a queue that only takes: each produce is one command of a message's size through the log. */
export class FloorQueueClient implements QueueClient {
  readonly #pipe: Pipe;

  private constructor(pipe: Pipe) {
    this.#pipe = pipe;
  }

  static async connect(url: string): Promise<FloorQueueClient> {
    return new FloorQueueClient(await connectPipe(url, messageBytes));
  }

  open(): Promise<void> {
    return Promise.resolve();
  }

  produce(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#pipe.submit((error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }

  consume(): Promise<Consumption> {
    return Promise.reject(new Error("the floor keeps nothing to consume"));
  }

  close(): Promise<void> {
    this.#pipe.close();
    return Promise.resolve();
  }
}

import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";
import type { RedisArguments } from "./link.ts";

/** One Lua script, called by its hash; a server that has forgotten it is sent the text. */
export class Script {
  private readonly text: string;
  readonly hash: string;

  constructor(text: string) {
    this.text = text;
    this.hash = createHash("sha1").update(text).digest("hex");
  }

  /**
   * The server knows it from here on, so that commands which are sent one behind the other are executed in that order: one that must be sent again as a
   * text is overtaken. A server that does not take it is sent the text each time.
   */
  async load(send: (args: RedisArguments) => Promise<unknown>): Promise<void> {
    try {
      await send(["SCRIPT", "LOAD", this.text]);
    } catch (error) {
      if (!(error instanceof ErrorReply)) throw error;
    }
  }

  async run(keys: readonly string[], args: RedisArguments, send: (args: RedisArguments) => Promise<unknown>): Promise<unknown> {
    const rest = [String(keys.length), ...keys, ...args];
    try {
      return await send(["EVALSHA", this.hash, ...rest]);
    } catch (error) {
      if (!(error instanceof ErrorReply) || !error.message.startsWith("NOSCRIPT")) throw error;
      return send(["EVAL", this.text, ...rest]);
    }
  }
}

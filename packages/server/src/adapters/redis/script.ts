import { createHash } from "node:crypto";
import { ErrorReply } from "@redis/client";
import type { RedisArguments } from "./link.ts";

/** One Lua script, called by its hash; a server that has not seen it, or has forgotten it, is sent the text. */
export class Script {
  private readonly text: string;
  private readonly hash: string;

  constructor(text: string) {
    this.text = text;
    this.hash = createHash("sha1").update(text).digest("hex");
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

import { RESP_TYPES } from "@redis/client";
import { redisLimits } from "./limits.ts";
import type { RedisAddress, RedisOptions } from "./options.ts";

/** Bodies are bytes. */
export const replyTypes: { readonly typeMapping: { readonly 36: typeof Buffer } } = { typeMapping: { [RESP_TYPES.BLOB_STRING]: Buffer } };

export function socketOptions(options: RedisOptions, address: RedisAddress | null): Record<string, unknown> {
  return {
    ...(address === null ? {} : { host: address.host, port: address.port }),
    connectTimeout: redisLimits.connectTimeoutMs,
    socketTimeout: redisLimits.silenceMs,
    ...(options.tls === null ? {} : { ...options.tls, tls: true }),
  };
}

/** Commands are refused at once while there is no connection, instead of being kept for later. */
export function connectionOptions(options: RedisOptions): Record<string, unknown> {
  return {
    RESP: 2,
    disableOfflineQueue: true,
    pingInterval: redisLimits.pingMs,
    ...(options.username === "" ? {} : { username: options.username }),
    ...(options.password === "" ? {} : { password: options.password }),
  };
}

/** Doubling pauses with jitter: nodes that lost the same Redis do not come back in step. */
export function retryPause(tries: number, random: () => number): number {
  const full = Math.min(redisLimits.maxRetryMs, redisLimits.firstRetryMs * 2 ** Math.min(tries, 16));
  return full / 2 + (full / 2) * random();
}

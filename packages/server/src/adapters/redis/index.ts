export { defaultRedisOptions, type RedisAck, type RedisAddress, type RedisOptions } from "./options.ts";
export { RedisQueueStorage } from "./storage.ts";

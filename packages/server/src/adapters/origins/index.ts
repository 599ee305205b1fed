export { PostgresOrigin } from "./postgres-origin.ts";
export { type OriginTools, RedisOrigin } from "./redis-origin.ts";

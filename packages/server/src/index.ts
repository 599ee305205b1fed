export { startNode, type RunningNode, type StartOptions } from "./compose.ts";
export * from "./config/index.ts";
export { version } from "./version.ts";

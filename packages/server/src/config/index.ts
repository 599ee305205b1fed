export * from "./config.ts";
export * from "./errors.ts";
export * from "./load.ts";
export { isNodeId, parsePeer, parsePeers, type PeerAddress, type PeersOutcome } from "./peers.ts";
export { queueDefaults } from "./queue-defaults.ts";
export type { Origin, Resolved } from "./resolve.ts";
export type { ConfigurationGiven, ConfigurationInput } from "./sources.ts";
export { roleNames, type RoleName } from "./values.ts";

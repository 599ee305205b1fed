export * from "./limits.ts";
export * from "./types.ts";
export { openWal } from "./wal.ts";
export type { WalOptions, WalPorts } from "./wal.ts";
export { openSnapshotStore } from "./snapshot-store.ts";
export type { SnapshotOptions, SnapshotPorts } from "./snapshot-store.ts";
export { makeDirectoryDurably, writeFileAtomically } from "./atomic-file.ts";
export { createLog } from "./wal-open.ts";

/** What the server's part says of a backup that was read to its end; as much of it as is shown. */
export interface BackupReport {
  readonly head: {
    readonly cluster: string;
    readonly created_ms: number;
    readonly trivet: string;
    readonly queues: "embedded" | "redis";
  };
  readonly groups: readonly {
    readonly group: number;
    readonly node: string;
    readonly index: number;
    readonly term: number;
    readonly bytes: number;
  }[];
  readonly bytes: number;
  readonly sha256: string;
}

import type { WalApi } from "../log/types.ts";
import type { Ports } from "../ports/index.ts";

/** The stores of the shards first: their worker asks for nothing more of the log then. */
export function closeStorage({ applyWorker, clock }: Ports, wal: WalApi | null, workerStopped: boolean, closed: () => void): void {
  const closeLog = (): void => {
    if (wal === null) clock.defer(closed);
    else wal.close(closed);
  };
  if (applyWorker === undefined || workerStopped) closeLog();
  else applyWorker.stop(closeLog);
}

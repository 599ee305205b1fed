import type { IoError } from "../ports/file.ts";
import type { GroupHost } from "../groups/group-host.ts";
import type { NodeHost } from "../node/node-host.ts";
import { type OpenedSystem, openSystemLog } from "../node/open.ts";
import { StateAudit } from "./state-audit.ts";
import { type Doubt, readDoubt } from "./state-audit-marker.ts";
import { systemGroup } from "../groups/system-machine.ts";

export interface OpenedWithDoubt extends OpenedSystem {
  readonly stateDoubt: Doubt | null;
}
type OpenArguments = Required<Parameters<typeof openSystemLog>>;

/** Opens group 0, and whether an earlier run found its state in doubt: known before the first message, or it could be elected (rule W7). */
export function openAuditedLog(
  ports: OpenArguments[0],
  config: OpenArguments[1],
  identity: OpenArguments[2],
  mustExist: OpenArguments[3],
  factory: OpenArguments[4],
  fatal: OpenArguments[5],
  done: (error: Error | null, opened: OpenedWithDoubt | null) => void,
  progress: OpenArguments[7],
): void {
  readDoubt(ports.files, ports.crypto, systemGroup, (doubtError: IoError | null, doubt) => {
    if (doubtError !== null) done(doubtError, null);
    else
      openSystemLog(
        ports,
        config,
        identity,
        mustExist,
        factory,
        fatal,
        (error, opened) => done(error, opened === null ? null : { ...opened, stateDoubt: doubt }),
        progress,
      );
  });
}

/**
 * From here on the group's state is compared with the other replicas'. `served`: a peer is fetching the snapshot of this one. Not given for
 * group 0, which is compared every second, also at rest.
 */
export function attachAudit(
  host: NodeHost,
  group: GroupHost,
  { snapshots, stateDoubt }: Pick<OpenedWithDoubt, "snapshots" | "stateDoubt">,
  served: (() => void) | null = null,
): void {
  const { clock, telemetry, files, crypto } = host.ports;
  const call: ConstructorParameters<typeof StateAudit>[1] = (to, method, body, done, timeoutMs) =>
    host.calls.call(to, method, body, done, timeoutMs);
  group.audit = new StateAudit(group, call, { clock, telemetry, files, crypto, snapshots, served }, stateDoubt, (error) =>
    host.fatal(error),
  );
}

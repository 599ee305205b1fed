import { counterIn, samplesIn } from "../measure/prometheus.ts";
import type { Vitals } from "./subject.ts";

/** A node that asks whether it could win an election has heard no leader for an election timeout; one that is told to take over does not ask. */
const unheard = 'role="pre-candidate"';

/** The longest delay of the event loop since the page was made before: a page begins the next measurement. */
export function loopDelayIn(page: string): number {
  return (counterIn(page, "nodejs_eventloop_lag_max_seconds") ?? 0) * 1000;
}

/** What the metrics page of a node says of its Raft groups. A counter that has never counted is not on it. */
export function vitalsIn(page: string): Omit<Vitals, "loopDelayMs"> {
  const leaders = samplesIn(page, "raft_has_leader");
  if (leaders.length === 0) throw new Error("a metrics page without Raft groups");
  return {
    leaderChanges: counterIn(page, "raft_leader_changes_total") ?? 0,
    heartbeatsMissed: counterIn(page, "raft_role_changes_total", unheard) ?? 0,
    leaderless: leaders.filter(({ value }) => value === 0).length,
  };
}

import type { RaftNotice } from "@trivet/core";
import type { Telemetry } from "../ports/telemetry.ts";
import type { GroupHost } from "../groups/group-host.ts";
import type { NodeHost } from "./node-host.ts";

/** Log lines and counters for what the core reports. The tokens people grep for (L-01, L-02) are in the texts. */
export function reportNotice(telemetry: Telemetry, self: string, group: GroupHost, notice: RaftNotice): void {
  const base = { node: self, group: group.id };
  switch (notice.type) {
    case "role":
      telemetry.count("trivet_raft_role_changes_total", 1, { role: notice.role });
      if (notice.role === "candidate") telemetry.count("trivet_raft_elections_total", 1, { group: String(group.id) });
      if (notice.role === "leader") {
        telemetry.count("trivet_raft_leader_changes_total", 1, { group: String(group.id) });
        telemetry.log("info", "raft.role", `${self} is now LEADER of group ${group.id} in term ${notice.term} (${notice.reason})`, {
          ...base,
          raft_role: "LEADER",
          term: notice.term,
          reason: notice.reason,
        });
      } else {
        telemetry.log(
          notice.role === "follower" ? "info" : "debug",
          "raft.role",
          `${self} is now ${notice.role} in term ${notice.term} (${notice.reason})`,
          {
            ...base,
            raft_role: notice.role.toUpperCase(),
            term: notice.term,
            reason: notice.reason,
          },
        );
      }
      break;
    case "leader":
      telemetry.log(
        "info",
        "raft.leader",
        notice.leader === null ? `no leader is known in term ${notice.term}` : `${notice.leader} leads term ${notice.term}`,
        {
          ...base,
          term: notice.term,
          leader: notice.leader,
        },
      );
      break;
    case "election-failed":
      telemetry.count("trivet_raft_elections_failed_total", 1, { group: String(group.id) });
      telemetry.log(
        "warn",
        "raft.election-failed",
        `election of term ${notice.term} failed; silent: ${notice.silent.join(", ") || "nobody"}; refused: ${notice.refused.join(", ") || "nobody"}`,
        { ...base, term: notice.term, silent: notice.silent, refused: notice.refused },
      );
      break;
    case "membership":
      telemetry.log(
        "info",
        "raft.membership",
        `configuration ${notice.index}${notice.committed ? " committed" : " proposed"}: voters ${notice.membership.voters.join(", ")}${notice.membership.learners.length > 0 ? `; learners ${notice.membership.learners.join(", ")}` : ""}`,
        { ...base, index: notice.index, committed: notice.committed },
      );
      break;
    case "membership-refused":
      break;
    case "transfer-ended":
      telemetry.log(
        "info",
        "raft.transfer",
        notice.succeeded ? `leadership handed to ${notice.to}` : `leadership was not taken by ${notice.to}`,
        { ...base, to: notice.to },
      );
      break;
    case "truncated":
      telemetry.count("trivet_raft_truncations_total", 1);
      telemetry.log("info", "raft.truncated", `log truncated from index ${notice.from}: another leader's entries replace it`, {
        ...base,
        from: notice.from,
      });
      break;
    case "compared":
      telemetry.log(
        "info",
        "raft.compared",
        `the logs of all members were compared; the furthest ends at index ${notice.lastIndex} of term ${notice.lastTerm}: only a node with such a log is elected`,
        { ...base, index: notice.lastIndex, term: notice.lastTerm, members: notice.members },
      );
      break;
    case "comparison-failed":
      telemetry.log(
        "warn",
        "raft.comparison-failed",
        `the end of this node's log is in doubt and no leader is heard: every member must say where its log ends; silent: ${notice.silent.join(", ") || "nobody"}; damaged themselves: ${notice.damaged.join(", ") || "nobody"}`,
        { ...base, silent: notice.silent, damaged: notice.damaged },
      );
      break;
    case "recovered":
      telemetry.log("info", "raft.recovered", `caught up at index ${notice.index} after damage: this node takes part again`, {
        ...base,
        index: notice.index,
      });
      break;
  }
}

/** What the core of group 0 reports. */
export function onSystemNotice(host: NodeHost, group: GroupHost, notice: RaftNotice): void {
  reportNotice(host.ports.telemetry, host.config.node, group, notice);
  if (notice.type === "membership-refused") host.members?.refused(notice.reason);
  if (notice.type === "transfer-ended") host.queries.transferEnded(notice.to, notice.succeeded);
  if (notice.type === "role" && notice.role === "leader") host.groupTime.takeOver(host.machine?.groupTime ?? 0);
  if (notice.type === "role" || notice.type === "leader") {
    host.outbox.resend(false);
    host.queries.leaderChanged();
  }
}

import type { healthRoutes } from "@trivet/contract";
import { failure, ok, type Answer } from "../answer.ts";
import type { Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { leadership, quorumOf } from "./raft-view.ts";

/** Longest a readiness probe waits for its read barrier; probes give up after a few seconds themselves. */
const readinessReadMs = 1_000;

/** Of this process, and the same in every answer: whoever restarts nodes tells the new process from the old one by it. */
const startedAt = new Date(Date.now() - process.uptime() * 1_000).toISOString();

interface Check {
  readonly name: string;
  readonly ok: boolean;
  readonly detail: string;
}

function readCheck(context: HttpContext): Promise<Check> {
  return new Promise((resolve) => {
    context.node.read("linearizable", readinessReadMs, (outcome) => {
      resolve({
        name: "read",
        ok: outcome.type === "ready",
        detail: outcome.type === "ready" ? "a linearizable read works" : outcome.detail || outcome.code,
      });
    });
  });
}

async function readiness(context: HttpContext): Promise<Answer> {
  const status = context.node.status();
  const { leader } = leadership(context, status);
  const { needed, reachable, missing } = quorumOf(status);
  const checks: Check[] = [
    {
      name: "phase",
      ok: status.phase === "running",
      detail: status.phaseDetail === "" ? status.phase : `${status.phase}: ${status.phaseDetail}`,
    },
    {
      name: "leader",
      ok: leader !== null,
      detail:
        leader ??
        `no leader; have ${reachable} of ${needed} voters needed${missing.length === 0 ? "" : `, missing: ${missing.join(", ")}`}`,
    },
  ];
  // The barrier would only wait for a leader that is known to be missing.
  if (checks.every((check) => check.ok)) checks.push(await readCheck(context));
  const failed = checks.filter((check) => !check.ok);
  if (failed.length === 0) return ok({ status: "ready", node_id: status.node, checks });
  const reason = failed.map((check) => `${check.name}: ${check.detail}`).join("; ");
  return failure("not_ready", { values: { reason: `${reason}.` }, members: { checks, reason }, retryAfterMs: 1_000 });
}

export const healthHandlers: Some<keyof typeof healthRoutes> = {
  live: (_call, context) => {
    const status = context.node.status();
    if (status.phase === "failed")
      return failure("not_ready", { values: { reason: `${status.phaseDetail}.` }, members: { reason: status.phaseDetail } });
    const uptime = Math.round(process.uptime());
    return ok({ status: "ok", node_id: status.node, phase: status.phase, uptime_s: uptime, started_at: startedAt });
  },
  ready: (_call, context) => readiness(context),
};

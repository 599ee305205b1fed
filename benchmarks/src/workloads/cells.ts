import { median } from "../driver/statistics.ts";
import type { Cost } from "../measure/window.ts";
import type { Result } from "../results.ts";
import type { Subject } from "../subjects/subject.ts";
import type { RunContext } from "./workload.ts";

/** What one round of one (subject, transport, clients) cell yielded. */
export interface Round {
  readonly ops: number;
  readonly seconds: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  readonly p999_ms: number | null;
  readonly cost: Cost;
  readonly more: Readonly<Record<string, number | null>>;
}

export interface CellKey {
  readonly workload: string;
  readonly subject: Subject;
  readonly transport: string;
  readonly clients: number;
  readonly latency: string;
}

function perOp(value: number | null, ops: number): number | null {
  return value === null || ops === 0 ? null : value / ops;
}

/** Medians over the rounds of a cell. */
export function resultOf(context: RunContext, key: CellKey, rounds: readonly Round[]): Result {
  const medianOf = (pick: (round: Round) => number | null): number | null => median(rounds.map(pick));
  const known = (pick: (round: Round) => number | null): number[] => rounds.map(pick).filter((value): value is number => value !== null);
  const roles = [...new Set(rounds.flatMap(({ cost }) => Object.keys(cost.cpu_s_by_role)))];
  const byRole = roles.map((role) => [role, medianOf(({ cost, ops }) => perOp(cost.cpu_s_by_role[role] ?? null, ops))] as const);
  const names = [...new Set(rounds.flatMap(({ more }) => Object.keys(more)))];
  const firstError = rounds.find((round) => round.firstError !== null)?.firstError;
  return {
    run: context.run,
    workload: key.workload,
    subject: key.subject.name,
    transport: key.transport,
    durability: key.subject.durability,
    clients: key.clients,
    rounds: rounds.length,
    quick: context.effort.quick,
    ops_per_s: medianOf(({ ops, seconds }) => (seconds > 0 ? ops / seconds : null)),
    latency: key.latency,
    p50_ms: medianOf((round) => round.p50_ms),
    p99_ms: medianOf((round) => round.p99_ms),
    p999_ms: medianOf((round) => round.p999_ms),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    ...(firstError === undefined || firstError === null ? {} : { first_error: firstError }),
    cpu_s_per_op: medianOf(({ cost, ops }) => perOp(cost.cpu_s, ops)),
    cpu_s_per_op_by_role: Object.fromEntries(byRole.filter((entry): entry is readonly [string, number] => entry[1] !== null)),
    written_bytes_per_op: medianOf(({ cost, ops }) => perOp(cost.written_bytes, ops)),
    fsyncs_per_op: medianOf(({ cost, ops }) => perOp(cost.fsyncs, ops)),
    rss_bytes: medianOf(({ cost }) => cost.rss_bytes),
    rss_anon_bytes: medianOf(({ cost }) => cost.rss_anon_bytes),
    foreign_cpu: medianOf(({ cost }) => cost.foreign_cpu),
    stolen_cpu: medianOf(({ cost }) => cost.stolen_cpu),
    more: Object.fromEntries(names.map((name) => [name, medianOf(({ more }) => more[name] ?? null)])),
    samples: {
      ops_per_s: known(({ ops, seconds }) => (seconds > 0 ? ops / seconds : null)),
      p50_ms: known((round) => round.p50_ms),
      p99_ms: known((round) => round.p99_ms),
    },
  };
}

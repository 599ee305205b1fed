import { figure } from "../table.ts";
import { all, atLeast, atMost, below, counted, partOf, type Figures, type Target } from "./figures.ts";

const workload = "queue-backlog";
const wantedMessages = 10_000_000;
const wantedMemory = 512 * 2 ** 20;
const gib = 2 ** 30;

type More = Readonly<Record<string, number | null>>;

/** The sum of what is known; null when nothing is. */
function sum(more: More, names: readonly string[]): number | null {
  const known = names.map((name) => more[name]).filter((value): value is number => value !== null && value !== undefined);
  return known.length === 0 ? null : known.reduce((total, value) => total + value, 0);
}

function rate(more: More, step: "produce" | "drain"): Omit<Target, "workload" | "what"> {
  const share = more[`${step}_ratio`];
  return {
    target: "≥ 0.7 × that on an empty queue",
    reached: `${figure(more[`${step}_per_s`])} messages/s = ${figure(share)} × ${figure(more[`empty_${step}_per_s`])}`,
    met: atLeast(share, 0.7),
  };
}

function alive(more: More): Omit<Target, "workload" | "what"> {
  const limit = more["memory_max_bytes"];
  const died = sum(more, ["fill_nodes_died", "drain_nodes_died"]);
  const kills = more["oom_kills"];
  const cage = limit === null || limit === undefined ? "without a memory cgroup" : `in cgroups of ${figure(limit, 1 / gib)} GiB`;
  return {
    target: "alive in a memory cgroup of 1 GiB",
    reached: `${counted(died)} of ${counted(more["nodes"])} nodes died, ${counted(kills)} were killed for memory, ${cage}`,
    met: all([atMost(limit, gib), atMost(died, 0), atMost(kills, 0)]),
  };
}

function ordeal(more: More, step: "fill" | "drain"): string {
  const times = `gap ${figure(more[`${step}_longest_gap_ms`])} ms, loop late by ${figure(more[`${step}_longest_loop_delay_ms`])} ms`;
  return `${step}: ${counted(more[`${step}_leader_changes`])} leader changes, ${counted(more[`${step}_heartbeats_missed`])} heartbeats missed, ${times}`;
}

/**
 * A page fault on the event loop's hot path would stall heartbeats. Leaders that go where they are to be, after all nodes were started again, change without
 * a missed heartbeat; nobody moves them while the queue is filled.
 */
function cold(more: More): Omit<Target, "workload" | "what"> {
  const stored = more["stored_bytes"];
  const limit = more["memory_max_bytes"] ?? null;
  const isLarger = limit === null || stored === null || stored === undefined ? null : stored > limit;
  return {
    target: "store larger than the memory; no leader changes while filling, no heartbeat missed",
    reached: `${figure(stored, 1 / gib)} GiB on disk, ${figure(limit, 1 / gib)} GiB of memory; ${ordeal(more, "fill")}; ${ordeal(more, "drain")}`,
    met: all([
      // With a smaller store nothing is shown either way.
      isLarger === true ? true : null,
      atMost(more["fill_leader_changes"], 0),
      atMost(more["fill_heartbeats_missed"], 0),
      atMost(more["drain_heartbeats_missed"], 0),
    ]),
  };
}

/** The numbers to reach of ten million messages that nobody reads; of fewer, the verdicts say of how many. */
export function backlogTargets(figures: Figures): readonly Target[] {
  const more = figures.find(workload, "trivet")?.more ?? {};
  const messages = more["messages"] ?? null;
  const missing = more["lost"] === null ? `unknown, ${counted(more["undelivered"])} not drained in time` : counted(more["lost"]);
  const memory = more["rss_anon_peak_bytes"];
  const restart = more["restart_to_first_message_ms"];
  const rows: readonly (Omit<Target, "workload" | "what"> & { readonly about: string })[] = [
    {
      about: "memory of a node",
      target: "RssAnon ≤ 512 MiB",
      reached: `${figure(memory, 2 ** -20)} MiB (filled: ${figure(more["rss_anon_filled_bytes"], 2 ** -20)} MiB)`,
      met: atMost(memory, wantedMemory),
    },
    { about: "nodes", ...alive(more) },
    { about: "produce", ...rate(more, "produce") },
    { about: "drain", ...rate(more, "drain") },
    {
      about: "kill -9 of all nodes → first message",
      target: "< 15 s",
      reached: `${figure(restart, 1e-3)} s`,
      met: below(restart, 15_000),
    },
    { about: "messages", target: "none lost", reached: `${missing} lost of ${counted(messages)}`, met: atMost(more["lost"], 0) },
    { about: "heartbeats", ...cold(more) },
  ];
  const part = partOf(messages, wantedMessages, "messages");
  return rows.map(({ about, ...row }) => ({ workload, what: `queue: backlog of 10 M × 1 KiB: ${about}`, ...row, part }));
}

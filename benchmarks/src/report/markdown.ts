import { sameMachine, type Machine } from "../measure/machine.ts";
import { isMissing, type Missing, type Result } from "../results.ts";
import { columns, disturbances, figure } from "../table.ts";
import { workloads } from "../workloads/all.ts";
import type { Chart } from "./charts.ts";
import type { Selection } from "./select.ts";
import { verdictOf, type Target } from "./figures.ts";
import { targets } from "./targets.ts";

function row(cells: readonly string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function table(header: readonly string[], rows: readonly (readonly string[])[], textColumns = 1): string {
  const rule = header.map((_, column) => (column < textColumns ? "---" : "---:"));
  return [row(header), row(rule), ...rows.map(row)].join("\n");
}

const serviceTitles: Readonly<Record<string, string>> = { lock: "Locks", queue: "Queues", cache: "The cache" };

/** A column for each machine, under what was measured on it. */
function machineTable({ machines, versions }: Selection): string {
  const subjects = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  const different: { readonly machine: Machine; readonly titles: string[] }[] = [];
  for (const [service, machine] of Object.entries(machines)) {
    const title = serviceTitles[service] ?? service;
    const known = different.find((one) => sameMachine(one.machine, machine));
    if (known === undefined) different.push({ machine, titles: [title] });
    else known.titles.push(title);
  }
  const line = (name: string, cell: (machine: Machine) => string): readonly string[] => [
    name,
    ...different.map(({ machine }) => cell(machine)),
  ];
  const machineRows = table(
    ["", ...different.map(({ titles }) => titles.join(", "))],
    [
      line("Processor", ({ arch, cores, cpu }) => `${cores} × ${cpu} (${arch})`),
      line("Memory", ({ memory_bytes: bytes }) => `${figure(bytes, 2 ** -30)} GiB`),
      line("System", ({ kernel, node, os }) => `${os}, Linux ${kernel}, Node ${node}`),
      line("Disk", ({ fdatasync_p50_ms: ms, filesystem }) => `${filesystem}; append of 4 KiB + fdatasync: ${figure(ms)} ms`),
    ],
    different.length + 1,
  );
  return `${machineRows}\n\nMeasured: ${subjects.join(", ")}.`;
}

/** What is missed stands out. */
function verdict(target: Target): string {
  return target.met === false ? `**${verdictOf(target)}**` : verdictOf(target);
}

function targetTable(results: Selection["results"]): string {
  const rows = targets(results).map((target) => [target.what, target.target, target.reached, verdict(target)]);
  return table(["Workload", "Target", "Reached", "Verdict"], rows, 4);
}

/** Figures that only this workload has, by subject. */
function moreTable(results: readonly Result[]): string {
  const names = [...new Set(results.flatMap(({ more }) => Object.keys(more)))].filter((name) =>
    results.some(({ more }) => typeof more[name] === "number"),
  );
  const header = ["", ...results.map(({ subject, transport, clients }) => `${subject} ${transport} ${clients}`)];
  return table(
    header,
    names.map((name) => [`\`${name}\``, ...results.map(({ more }) => figure(more[name]))]),
  );
}

function section(name: string, summary: string, results: readonly (Result | Missing)[], pictures: readonly Chart[]): string {
  const measured = results.filter((result): result is Result => !isMissing(result));
  const lines = [`## ${name}`, "", `${summary[0]?.toUpperCase()}${summary.slice(1)}.`, ""];
  for (const { alt, file } of pictures) lines.push(`![${alt}](benchmarks/${file})`, "");
  if (measured.length > 0) {
    const rows = measured.map((result) => columns.map(({ cell }) => cell(result)));
    lines.push(
      table(
        columns.map(({ title }) => title),
        rows,
        2,
      ),
      "",
    );
    const latencies = [...new Set(measured.map(({ latency }) => latency))].filter((latency) => latency !== "none");
    if (latencies.length > 0) lines.push(`p50, p99 and p99.9: ${latencies.join("; ")}.`, "");
    const [first] = measured;
    if (first !== undefined) lines.push(`Run ${first.run}, median of ${first.rounds} round${first.rounds === 1 ? "" : "s"}.`, "");
    lines.push("<details><summary>More figures</summary>", "", moreTable(measured), "", "</details>", "");
  }
  for (const result of results) if (isMissing(result)) lines.push(`- ${result.subject}: ${result.missing}`);
  for (const { subject, errors, first_error: error } of measured) {
    if (errors > 0) lines.push(`- ${subject}: ${errors} errors, the first: ${error ?? "unknown"}`);
  }
  lines.push(...disturbances(measured).map((line) => `- ${line}`));
  return lines.join("\n").trimEnd();
}

const method = `## How it is measured

- All nodes and the client run on one machine, one subject at a time, each on fresh data directories and with syncs that reach the disk.
  Within a round the subjects alternate, each round begins with another one, and figures are medians over the rounds.
- n in flight = n callers in one client process on one connection. Throughput is a closed loop: a caller sends its next operation when the one
  before is answered. Latency is an open loop at half the measured maximum: requests are due at fixed times, and what counts is the time
  since a request was *due*, so a stall is felt by every request that should have been sent meanwhile (no coordinated omission).
- Acquire and release are two operations. CPU per operation adds up all nodes and the client (\`/proc/<pid>/stat\`); written bytes are those that
  reached the block layer (\`/proc/<pid>/io\`), of the servers; syncs are the subject's own count over all its nodes (Redis has none).
- \`floor\` is no lock service: 64-byte commands, three processes that append and fdatasync, an answer when a majority has done so, over the same
  WebSocket wire and the same batching client. No design of this shape can be faster on the machine.
- \`redis\` waits as the widespread clients do: it asks again every 200 ± 100 ms. Whoever releases and asks at once is therefore served again and
  again; \`own_again\` counts that, and the time in line shows it.
- Absolute figures change from machine to machine; the ratios are what counts.`;

const durabilityIntro = "What each subject has done when it answers:";

function durability(results: Selection["results"]): string {
  const measured = results.filter((result): result is Result => !isMissing(result));
  const bySubject = new Map(measured.map(({ subject, durability: promise }) => [subject, promise]));
  return [durabilityIntro, "", ...[...bySubject].map(([subject, promise]) => `- \`${subject}\`: ${promise}`)].join("\n");
}

const lockCommand = "npm run bench -- run lock-uncontended lock-contended lock-failover lock-soak lock-million --peers etcd,redis,floor";
const queueCommand =
  "npm run bench -- run queue-produce queue-roundtrip queue-fanout queue-backlog queue-failover queue-http " +
  "--peers floor,redis,bullmq,nats,rabbitmq,trivet-redis --cgroup";

const cacheCommand =
  "npm run bench -- run cache-hit cache-read-remote cache-write cache-mixed cache-stale --peers lru-cache,cacheable,node-redis,redis";

const cacheMethod = `- Values of the cache have 100 characters. A hit is measured in batches of 20 000 reads, between which the loop turns, so that leases are renewed; a batch
  with a read that found no copy is made again. \`ns\` and \`heap_bytes\` are medians over the batches.
- \`round_trip_…\` is a round trip of 100 bytes over a plain TCP connection to another process, made after each read. \`stream\` and \`http\`: the node that is asked is
  the key's home; \`other home\`: it has to ask another node (\`http\`: it has a copy of its own after the first read).
- \`commit_…\` is a write of a value that nobody else has a copy of, made after each write with sharers. \`killed_…\` and \`stopped_…\`: a process with copies of eight values got
  SIGKILL or SIGSTOP; \`first\` is the first write of one of them, \`later\` the longest of those that follow, of all eight, twice.
- cache-stale: writer and reader are two connections of one process, and the read begins in the turn in which the acknowledgement was heard. \`cut_…\`: the reader's link is a
  relay that lets everything vanish and tells nobody. What is not answered within a turn then is no answer; ours gives none, as its lease is over.
  \`held\`: the reader had a copy just before the write, without which nothing could be stale.
- \`node-redis\` has its client-side cache with room for as many entries as ours, RESP 3, a ping each second and a time-out of the socket of five. \`cacheable\` has its
  memory level alone.`;

const queueMethod = `- Messages have 1 KiB of text. \`floor\` takes records of that size there, and keeps nothing to consume.
- A round trip is a message that was produced, consumed and acked; four messages are on their way for each that a consumer may hold, so that
  consumers find something waiting. Its latency runs from the time it was due to the confirmed ack (\`received_…\`: to the consumer). BullMQ's
  concurrency is the credit; JetStream's acks are the confirmed ones; RabbitMQ confirms none.
- After a kill, what counts is the first delivery of a message that was sent after the kill; redelivery is that of a message a consumer had in hand
  then, and gave back. Each key has one producer, which sends its next message when the one before is known to be safe.
- queue-backlog fills a queue that nobody reads, kills and starts all nodes, and drains it; \`lost\` are messages that were acknowledged and never came. With
  \`--cgroup\` each node has a memory cgroup of its own, whose limit holds for the page cache too, and \`oom_kills\` is what the kernel says of them.
  \`fill_…\` and \`drain_…\`: \`leader_changes\` are those of all groups, planned ones (a leader that goes back to the node that is to lead) included;
  \`heartbeats_missed\` counts how often a node heard no leader for so long that it asked for an election; both begin when every group has a leader.
  \`longest_gap_ms\` is the longest time in which the client got no answer, \`longest_loop_delay_ms\` the longest that the event loop of a node was late.
- queue-http: each worker makes the three calls in turn, at one node after the other; then the queue is emptied and every message accounted for.
  \`trivet-redis-…\` are three nodes with \`REDIS_HOST\` set; what the one Redis takes is counted with the nodes.`;

/** The page docs/benchmarks.md. Made from the results alone, so the same results give the same page. */
export function page(selection: Selection, pictures: readonly Chart[]): string {
  const { results } = selection;
  const quick = results.some((result) => !isMissing(result) && result.quick);
  const has = (service: string): boolean => results.some(({ workload }) => workload.startsWith(`${service}-`));
  const services = [...(has("lock") ? ["locks"] : []), ...(has("queue") ? ["queues"] : []), ...(has("cache") ? ["the cache"] : [])].join(
    ", ",
  );
  const commands = [
    ...(has("lock") ? [lockCommand] : []),
    ...(has("queue") ? [queueCommand] : []),
    ...(has("cache") ? [cacheCommand] : []),
  ];
  const parts = [
    "# Benchmarks",
    "<!-- Written by `npm run bench -- report`; changes by hand are lost. -->",
    ...(quick ? ["> **Quick run**: seconds instead of minutes. It shows that the harness works and proves nothing about speed."] : []),
    `${services[0]?.toUpperCase()}${services.slice(1)}, three nodes on one machine. Repeat it with\n\n\`\`\`bash\n${commands.join("\n")}\nnpm run bench -- report\n\`\`\``,
    machineTable(selection),
    durability(results),
    "## Targets",
    targetTable(results),
    ...workloads
      .filter(({ name }) => results.some(({ workload }) => workload === name))
      .map(({ name, summary }) =>
        section(
          name,
          summary,
          results.filter(({ workload }) => workload === name),
          pictures.filter(({ workload }) => workload === name),
        ),
      ),
    [method, ...(has("queue") ? [queueMethod] : []), ...(has("cache") ? [cacheMethod] : [])].join("\n"),
    "Raw results: [benchmarks/results.json](benchmarks/results.json).",
  ];
  return `${parts.join("\n\n")}\n`;
}

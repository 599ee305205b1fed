import { readdirSync, readFileSync } from "node:fs";
import { cpus, freemem, loadavg, totalmem } from "node:os";
import type { LoopLag } from "./loop-lag.ts";
import type { Metrics } from "./metrics.ts";

/** Bytes of the machine's interfaces (Linux); zeros elsewhere. */
export function networkBytes(read: () => string = () => readFileSync("/proc/net/dev", "utf8")): {
  readonly received: number;
  readonly sent: number;
} {
  let text: string;
  try {
    text = read();
  } catch {
    return { received: 0, sent: 0 };
  }
  let received = 0;
  let sent = 0;
  for (const line of text.split("\n")) {
    const match = /^\s*([^:]+):\s*(.+)$/.exec(line);
    if (match === null || match[1] === "lo") continue;
    const columns = (match[2] ?? "").trim().split(/\s+/).map(Number);
    received += columns[0] ?? 0;
    sent += columns[8] ?? 0;
  }
  return { received, sent };
}

/** Bytes this process had read from and written to disks (Linux); zeros elsewhere. */
export function diskBytes(read: () => string = () => readFileSync("/proc/self/io", "utf8")): {
  readonly read_bytes: number;
  readonly written_bytes: number;
} {
  let text: string;
  try {
    text = read();
  } catch {
    return { read_bytes: 0, written_bytes: 0 };
  }
  const of = (name: string): number => Number(new RegExp(`^${name}: ([0-9]+)$`, "m").exec(text)?.[1] ?? 0);
  return { read_bytes: of("read_bytes"), written_bytes: of("write_bytes") };
}

const modes = ["user", "nice", "sys", "idle", "irq"] as const;

/** Seconds of all processors together. */
function processorSeconds(): Readonly<Record<(typeof modes)[number], number>> {
  const sums = { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 };
  for (const { times } of cpus()) for (const mode of modes) sums[mode] += times[mode] / 1_000;
  return sums;
}

function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}

/** Process, event loop and machine, as of the scrape. */
export function collectSystemMetrics(metrics: Metrics, version: string, loop: LoopLag): void {
  metrics.set("build_info", 1, { version, node_version: process.version });
  metrics.set("system_cpus", cpus().length);
  metrics.set("process_start_time_seconds", Date.now() / 1_000 - process.uptime());
  metrics.onCollect(() => {
    const { user, system } = process.cpuUsage();
    const memory = process.memoryUsage();
    metrics.total("process_cpu_seconds_total", (user + system) / 1e6);
    metrics.set("process_resident_memory_bytes", memory.rss);
    metrics.set("process_heap_bytes", memory.heapUsed);
    metrics.set("process_open_fds", openFiles());
    const lag = loop.take();
    metrics.set("nodejs_eventloop_lag_p99_seconds", lag.p99);
    metrics.set("nodejs_eventloop_lag_max_seconds", lag.max);
    const disk = diskBytes();
    metrics.total("process_disk_bytes_total", disk.read_bytes, { direction: "read" });
    metrics.total("process_disk_bytes_total", disk.written_bytes, { direction: "written" });
    const processors = processorSeconds();
    for (const mode of modes) metrics.total("system_cpu_seconds_total", processors[mode], { mode });
    metrics.set("system_load1", loadavg()[0] ?? 0);
    metrics.set("system_memory_free_bytes", freemem());
    metrics.set("system_memory_total_bytes", totalmem());
    const network = networkBytes();
    metrics.total("system_network_bytes_total", network.received, { direction: "received" });
    metrics.total("system_network_bytes_total", network.sent, { direction: "sent" });
  });
}

/** S4's "system metrics": CPU, memory, network of machine and process. */
export function systemJson(): Readonly<Record<string, unknown>> {
  const memory = process.memoryUsage();
  const { user, system } = process.cpuUsage();
  const network = networkBytes();
  return {
    cpu: { count: cpus().length, seconds: processorSeconds(), load_1m: loadavg()[0] ?? 0, process_seconds: (user + system) / 1e6 },
    memory: { process_rss_bytes: memory.rss, process_heap_bytes: memory.heapUsed, free_bytes: freemem(), total_bytes: totalmem() },
    network: { received_bytes: network.received, sent_bytes: network.sent },
    uptime_s: Math.round(process.uptime()),
  };
}

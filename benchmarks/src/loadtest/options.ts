import { parseArgs } from "node:util";
import { scenarioNames, type ScenarioName } from "./scenarios.ts";

/** What a load test is told: Locust's flags, so that S4's line needs another first word only. */
export interface Options {
  readonly hosts: readonly string[];
  readonly users: number;
  /** Users that begin per second. */
  readonly spawnRate: number;
  /** Null: until it is stopped. */
  readonly runTimeMs: number | null;
  readonly headless: boolean;
  readonly onlySummary: boolean;
  readonly html: string | null;
  readonly webHost: string;
  readonly webPort: number;
  /** Empty: all of them, by their weights. */
  readonly scenarios: readonly ScenarioName[];
}

export const loadTestUsage: string = `npm run loadtest -- [--host URL[,URL…]] [--users N] [--spawn-rate N] [--run-time 5m] [--headless] [SCENARIO…]

  -H, --host URL        nodes to call, with commas; without a port: the three on 8001 to 8003 (default http://localhost)
  -u, --users N         users at once (default 50)
  -r, --spawn-rate N    users that begin per second (default 5)
  -t, --run-time TIME   30s, 5m, 1h30m, or seconds; without it until Ctrl-C
      --headless        begin at once and show the progress here; else begin on the page at http://localhost:8089
      --only-summary    with --headless: no progress, only the end
      --html FILE       write the report there (default with --headless: .cache/loadtest/report.html)
      --web-host, --web-port    where the page is (default 127.0.0.1 and 8089)

Scenarios: ${scenarioNames.join(", ")}. Outcomes that belong to the work (a lock that somebody holds, an empty queue) are counted apart from
those that were not expected; one of the latter and the exit code is 1.`;

const flags = {
  host: { type: "string", short: "H", default: "http://localhost" },
  users: { type: "string", short: "u", default: "50" },
  "spawn-rate": { type: "string", short: "r", default: "5" },
  "run-time": { type: "string", short: "t" },
  headless: { type: "boolean", default: false },
  "only-summary": { type: "boolean", default: false },
  html: { type: "string" },
  "web-host": { type: "string", default: "127.0.0.1" },
  "web-port": { type: "string", default: "8089" },
  help: { type: "boolean", short: "h", default: false },
} as const;

/** Options, "help", or what is wrong with the line. */
export function parseOptions(args: readonly string[]): Options | "help" | { readonly wrong: string } {
  try {
    const { values, positionals } = parseArgs({ args: [...args], options: flags, allowPositionals: true });
    if (values.help) return "help";
    const unknown = positionals.filter((name) => !isScenario(name));
    if (unknown.length > 0) return { wrong: `there is no scenario ${unknown.join(", ")}; there are ${scenarioNames.join(", ")}` };
    return {
      hosts: hostsOf(values.host),
      users: positive("--users", values.users),
      spawnRate: positive("--spawn-rate", values["spawn-rate"]),
      runTimeMs: values["run-time"] === undefined ? null : durationOf(values["run-time"]),
      headless: values.headless,
      onlySummary: values["only-summary"],
      html: values.html ?? null,
      webHost: values["web-host"],
      webPort: positive("--web-port", values["web-port"]),
      scenarios: positionals.filter(isScenario),
    };
  } catch (error) {
    return { wrong: error instanceof Error ? error.message : String(error) };
  }
}

function isScenario(name: string): name is ScenarioName {
  return (scenarioNames as readonly string[]).includes(name);
}

export function positive(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value) || value <= 0) throw new Error(`${name}=${text} is not a number above 0`);
  return value;
}

/** 30s, 5m, 1h30m, or plain seconds, as Locust reads them; in milliseconds. */
export function durationOf(text: string): number {
  const match = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$/.exec(text);
  const [hours, minutes, seconds] = [1, 2, 3].map((index) => Number(match?.[index] ?? 0));
  const total = (hours ?? 0) * 3_600 + (minutes ?? 0) * 60 + (seconds ?? 0);
  if (match === null || total <= 0) throw new Error(`--run-time=${text} is no time such as 30s, 5m or 1h30m`);
  return total * 1_000;
}

/** The ports of the documents. */
const nodePorts = [8001, 8002, 8003];

/** The nodes that --host stands for: a host without a port (S3 writes it so) is the three of them. */
export function hostsOf(text: string): readonly string[] {
  const hosts = text.split(",").flatMap((host) => {
    const trimmed = host.trim();
    const address = trimmed.includes("://") ? trimmed : `http://${trimmed}`;
    if (!URL.canParse(address)) throw new Error(`--host=${host} is no address such as http://localhost:8001`);
    const { protocol, hostname } = new URL(address);
    // A port that is the scheme's own does not show in URL.port, yet it was written.
    const hasPort = /:\d+$/.test(address.replace(/\/+$/, ""));
    return hasPort ? [address.replace(/\/+$/, "")] : nodePorts.map((port) => `${protocol}//${hostname}:${port}`);
  });
  return [...new Set(hosts)];
}

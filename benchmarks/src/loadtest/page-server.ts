import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { LoadTest } from "./load-test.ts";
import { durationOf, hostsOf, positive, type Options } from "./options.ts";
import { progressLine } from "./progress.ts";
import { controlPage, reportOf } from "./report.ts";
import { timeChart } from "./time-chart.ts";

/** What the page can do; the caller owns the runs. */
export interface Runs {
  current(): LoadTest | null;
  start(options: Options): void;
  stop(): void;
}

const mostBodyBytes = 10_000;

/** The page on 8089: begin, watch, stop, report. */
export function servePage(options: Options, runs: Runs): Promise<Server> {
  const server = createServer((request, response) => {
    answer(request, response, options, runs).catch((error: unknown) => {
      send(response, 400, "text/plain", error instanceof Error ? error.message : String(error));
    });
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.webPort, options.webHost, () => resolve(server));
  });
}

async function answer(request: IncomingMessage, response: ServerResponse, options: Options, runs: Runs): Promise<void> {
  const test = runs.current();
  switch (`${request.method} ${request.url}`) {
    case "GET /":
      return send(response, 200, "text/html", controlPage(options.hosts, options.users, options.spawnRate));
    case "GET /progress": {
      const text = test === null ? "Nothing was started yet." : progressLine(test.progress());
      const values = test?.tally.seconds() ?? [];
      const chart = timeChart("Calls a second", [
        { name: "calls", kind: "first", values: values.map(({ calls }) => calls) },
        { name: "unexpected", kind: "bad", values: values.map(({ unexpected }) => unexpected) },
      ]);
      return send(response, 200, "application/json", JSON.stringify({ text, chart, ...test?.progress() }));
    }
    case "GET /report":
      if (test === null) return send(response, 404, "text/plain", "Nothing was started yet.");
      return send(response, 200, "text/html", reportOf(test));
    case "POST /start": {
      const state = test?.progress().state;
      if (state === "running" || state === "stopping") return send(response, 409, "text/plain", "A run is under way; stop it first.");
      runs.start(withForm(options, await jsonOf(request)));
      return send(response, 200, "text/plain", "started");
    }
    case "POST /stop":
      runs.stop();
      return send(response, 200, "text/plain", "stopping");
    default:
      return send(response, 404, "text/plain", "There are /, /progress and /report, and POST /start and /stop.");
  }
}

function withForm(options: Options, form: Readonly<Record<string, unknown>>): Options {
  const text = (name: string): string | null => {
    const value = form[name];
    return typeof value === "string" && value.trim() !== "" ? value.trim() : null;
  };
  const [host, users, spawnRate, runTime] = [text("host"), text("users"), text("spawn-rate"), text("run-time")];
  return {
    ...options,
    hosts: host === null ? options.hosts : hostsOf(host),
    users: users === null ? options.users : positive("users", users),
    spawnRate: spawnRate === null ? options.spawnRate : positive("spawn-rate", spawnRate),
    runTimeMs: runTime === null ? options.runTimeMs : durationOf(runTime),
  };
}

/** A page of another site cannot send this type without being asked first, and nobody answers that question here. */
async function jsonOf(request: IncomingMessage): Promise<Readonly<Record<string, unknown>>> {
  if (request.headers["content-type"] !== "application/json") throw new Error("send application/json");
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) {
    text += String(chunk);
    if (text.length > mostBodyBytes) throw new Error("too long");
  }
  const form: unknown = JSON.parse(text);
  if (typeof form !== "object" || form === null) throw new Error("send an object");
  return form as Readonly<Record<string, unknown>>;
}

function send(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, { "content-type": `${type}; charset=utf-8`, "cache-control": "no-store" });
  response.end(text);
}

import { readdirSync, readFileSync } from "node:fs";
import { run } from "./processes.ts";
import type { Json } from "./http.ts";

/**
 * Runs a command line of a source document exactly as written there, with only the ports replaced. Gives the status and the body of the
 * last answer.
 */
export async function runVerbatim(
  command: string,
  ports: ReadonlyMap<number, number>,
  cwd: string,
): Promise<{ readonly status: number; readonly body: Json; readonly text: string }> {
  const moved = command.replaceAll(/localhost:(\d+)/g, (whole, port: string) => {
    const other = ports.get(Number(port));
    return other === undefined ? whole : `localhost:${other}`;
  });
  // A function named curl adds what the test needs to see; the line itself stays as people type it.
  const script = `curl() { command curl --silent --show-error --max-time 20 --write-out '\\n%{http_code}' "$@"; }\n${moved}`;
  const { code, output } = await run("bash", ["-c", script], { cwd });
  const lines = output.trimEnd().split("\n");
  const status = Number(lines.pop());
  const text = lines.join("\n");
  if (code !== 0 || !Number.isInteger(status)) throw new Error(`${moved}\nended with ${code}: ${output}`);
  return { status, body: asJson(text), text };
}

function asJson(text: string): Json {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return { text };
  }
}

/** Processes whose parent is `pid`. */
export function childrenOf(pid: number): readonly number[] {
  const children: number[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    if (parentOf(name) === pid) children.push(Number(name));
  }
  return children;
}

function parentOf(name: string): number | null {
  try {
    // The program name, in parentheses, may hold anything; the fields come after its last one.
    const fields = readFileSync(`/proc/${name}/stat`, "utf8").split(")").at(-1)?.trim().split(" ");
    return Number(fields?.[1]);
  } catch {
    return null;
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A process that ended and was not waited for yet still has its id.
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

import { spawn, type ChildProcess } from "node:child_process";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const repository: string = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** The built command: end-to-end tests run what users run. */
export const trivet: string = join(repository, "packages", "cli", "bundle", "main.js");

const running = new Set<ChildProcess>();
// Whatever happens to a test, none of its processes outlives the run: each is ended by its own id.
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** A process of a test, with its output. */
export interface Started {
  readonly pid: number;
  readonly child: ChildProcess;
  /** Everything it printed so far, stdout and stderr together. */
  output(): string;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  hasExited(): boolean;
  signal(signal: NodeJS.Signals): void;
}

export interface StartOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly ownGroup?: boolean;
  /** Its standard input stays open for as long as this process lives, so that it can end when the test was killed. */
  readonly endsWithUs?: boolean;
}

/** Starts a program with only the environment a test gives (and what programs need to run at all). */
export function start(program: string, args: readonly string[], options: StartOptions): Started {
  const env = { PATH: process.env["PATH"] ?? "", HOME: options.cwd, NO_COLOR: "1", ...options.env };
  const settings = { cwd: options.cwd, env, detached: options.ownGroup === true };
  const child =
    options.endsWithUs === true
      ? spawn(program, [...args], { ...settings, stdio: ["pipe", "pipe", "pipe"] })
      : spawn(program, [...args], { ...settings, stdio: ["ignore", "pipe", "pipe"] });
  running.add(child);
  let output = "";
  let over = false;
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("error", (error) => {
      output += `\n${error.message}\n`;
      over = true;
      running.delete(child);
      resolve({ code: null, signal: null });
    });
    child.once("close", (code, signal) => {
      over = true;
      running.delete(child);
      resolve({ code, signal });
    });
  });
  return {
    pid: child.pid ?? 0,
    child,
    output: () => output,
    exited,
    hasExited: () => over,
    signal: (signal) => void child.kill(signal),
  };
}

/** Runs a program to its end. */
export async function run(
  program: string,
  args: readonly string[],
  options: StartOptions,
): Promise<{ readonly code: number | null; readonly output: string }> {
  const started = start(program, args, options);
  const { code } = await started.exited;
  return { code, output: started.output() };
}

const handedOut = new Set<number>();

/** `count` consecutive free ports of the loopback address. */
export async function freePorts(count: number): Promise<readonly number[]> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    // Below the range from which the system takes the ports of outgoing connections.
    const first = 20_000 + Math.floor(Math.random() * 10_000);
    const ports = Array.from({ length: count }, (_, index) => first + index);
    if (ports.some((port) => handedOut.has(port))) continue;
    const free = await Promise.all(ports.map(isFree));
    if (!free.every(Boolean)) continue;
    for (const port of ports) handedOut.add(port);
    return ports;
  }
  throw new Error(`no ${count} free ports in a row`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve(true)));
  });
}

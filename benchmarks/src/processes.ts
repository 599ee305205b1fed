import { fork, spawn, type ChildProcess } from "node:child_process";
import { closeSync, existsSync, openSync, readFileSync } from "node:fs";
import { flagsFor } from "./modules.ts";

/** A process this run started. */
export interface Started {
  readonly name: string;
  readonly pid: number;
  readonly child: ChildProcess;
  readonly logPath: string;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
}

export interface StartOptions {
  readonly name: string;
  /** Receives stdout and stderr; its end is quoted when the process dies early. */
  readonly logPath: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Passes on nothing of our own environment but PATH and HOME: settings of the caller's shell must not configure a subject. */
  readonly bareEnvironment?: boolean;
}

const stopGraceMs = 10_000;
/** Makes the kernel kill a server when this process dies without a chance to clean up; part of util-linux. */
const deathSignal = "/usr/bin/setpriv";

/** Last lines of a log, for error messages. */
export function tailOf(logPath: string): string {
  if (!existsSync(logPath)) return "";
  return readFileSync(logPath, "utf8").trimEnd().split("\n").slice(-5).join("\n");
}

/** Keeps every process of a run by its pid and ends them, and only them, in the reverse order of their start. */
export class ProcessKeeper {
  readonly #running = new Set<Started>();

  /** Starts a program. With `ipc` it is a Node module that talks to us; else any program. */
  start(command: string, args: readonly string[], options: StartOptions): Started {
    const log = openSync(options.logPath, "a");
    try {
      const { PATH, HOME } = process.env;
      const guarded = existsSync(deathSignal);
      const child = spawn(guarded ? deathSignal : command, guarded ? ["--pdeathsig", "KILL", "--", command, ...args] : [...args], {
        stdio: ["ignore", log, log],
        cwd: options.cwd,
        env: { ...(options.bareEnvironment === true ? { PATH, HOME } : process.env), ...options.env },
      });
      return this.#keep(child, options);
    } finally {
      closeSync(log);
    }
  }

  /** Starts one of our own modules with a message channel; such a process ends by itself when we are gone. */
  fork(module: URL, args: readonly string[], options: StartOptions): Started {
    const log = openSync(options.logPath, "a");
    try {
      const child = fork(module, args, {
        execArgv: flagsFor(module),
        stdio: ["ignore", log, log, "ipc"],
        env: { ...process.env, ...options.env },
      });
      return this.#keep(child, options);
    } finally {
      closeSync(log);
    }
  }

  #keep(child: ChildProcess, options: StartOptions): Started {
    const { pid } = child;
    const exited = new Promise<void>((resolve) => {
      child.once("exit", () => {
        resolve();
      });
      child.once("error", () => {
        resolve();
      });
    });
    if (pid === undefined) throw new Error(`${options.name} could not be started`);
    const started: Started = { name: options.name, pid, child, logPath: options.logPath, exited };
    this.#running.add(started);
    void exited.then(() => this.#running.delete(started));
    return started;
  }

  isRunning(started: Started): boolean {
    return this.#running.has(started);
  }

  /** SIGTERM, a grace, SIGKILL. */
  async stop(started: Started): Promise<void> {
    if (!this.#running.has(started)) return;
    started.child.kill("SIGTERM");
    const timer = setTimeout(() => {
      started.child.kill("SIGKILL");
    }, stopGraceMs);
    await started.exited;
    clearTimeout(timer);
  }

  /** SIGKILL, as a crash. */
  async kill(started: Started): Promise<void> {
    if (!this.#running.has(started)) return;
    started.child.kill("SIGKILL");
    await started.exited;
  }

  async stopAll(): Promise<void> {
    for (const started of [...this.#running].toReversed()) await this.stop(started);
  }

  /** For a signal or a crash of this process: no waiting. */
  killAll(): void {
    for (const started of this.#running) started.child.kill("SIGKILL");
  }
}

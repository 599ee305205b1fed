import { spawn } from "node:child_process";
import { constants } from "node:os";
import { startFailure } from "./program-file.ts";

/** How a command ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A running command, with our standard streams. */
export interface Child {
  readonly pid: number;
  /** To the command, and where it has a process group of its own to all that is in it. Nothing happens where nobody is left. */
  signal(signal: NodeJS.Signals): void;
  readonly ended: Promise<Ending>;
}

/**
 * Starts a command, without a shell. `ownGroup`: it gets a process group of its own, so that what it starts is signalled with it. Not on a terminal: a group in the
 * background could neither read from it nor be reached by its keys. Throws CliError.
 */
export function startChild(command: readonly string[], env: NodeJS.ProcessEnv, ownGroup: boolean): Promise<Child> {
  const [program = "", ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { env, stdio: "inherit", detached: ownGroup });
    let isOver = false;
    const ended = new Promise<Ending>((tell) => {
      child.once("exit", (code, signal) => {
        isOver = true;
        tell({ code, signal });
      });
    });
    child.once("error", (error) => reject(startFailure(program, error)));
    child.once("spawn", () => {
      const { pid = 0 } = child;
      // The number of a process that is over may be another's by now; that of a group is not while somebody is in it.
      const signal = (name: NodeJS.Signals): void => {
        if (ownGroup) signalGroup(pid, name);
        else if (!isOver) child.kill(name);
      };
      resolve({ pid, signal, ended });
    });
  });
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** As shells tell it: 128 and the number of the signal. */
export function exitCodeOf({ code, signal }: Ending): number {
  return code ?? signalExitCode(signal ?? "SIGKILL");
}

export function signalExitCode(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}

import { freePorts, start, trivet, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

/** A cluster that `npm start` runs, on ports of its own. */
export interface Dev {
  readonly launcher: Started;
  readonly ports: readonly number[];
  readonly url: (index: number) => string;
  /** Ports of the documents to ports of this test. */
  readonly mapped: ReadonlyMap<number, number>;
}

export async function startDev(folder: string, args: readonly string[] = []): Promise<Dev> {
  const ports = await freePorts(3);
  const launcher = start(process.execPath, [trivet, "dev", "--port", String(ports[0]), ...args], { cwd: folder, ownGroup: true });
  return {
    launcher,
    ports,
    url: (index) => `http://127.0.0.1:${ports[index]}`,
    mapped: new Map(ports.map((port, index) => [8001 + index, port])),
  };
}

export const isUp = async (dev: Dev): Promise<void> =>
  waitFor("the launcher to say that the cluster runs", () => {
    if (dev.launcher.hasExited()) throw new Error(`it ended:\n${dev.launcher.output()}`);
    return dev.launcher.output().includes("Trivet is running") ? ready(undefined) : dev.launcher.output().slice(-2_000);
  });

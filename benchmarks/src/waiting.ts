import { createServer, type AddressInfo, type Server } from "node:net";

/** Milliseconds of CLOCK_MONOTONIC, comparable between the processes of one machine. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Asks until `condition` yields a value; fails after `timeoutMs` with `what` and the last error. */
export async function waitFor<T>(what: string, timeoutMs: number, condition: () => Promise<T | null>, pauseMs = 50): Promise<T> {
  const endsAt = performance.now() + timeoutMs;
  let last: unknown = null;
  for (;;) {
    try {
      const value = await condition();
      if (value !== null) return value;
    } catch (error) {
      last = error;
    }
    if (performance.now() >= endsAt) {
      const cause = last instanceof Error ? `: ${last.message}` : "";
      throw new Error(`${what}: not within ${timeoutMs} ms${cause}`);
    }
    await pause(pauseMs);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}

/** Rejects when `promise` takes longer than `timeoutMs`: no step of a benchmark may hang. */
export async function within<T>(what: string, timeoutMs: number, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`${what}: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ports of the loopback interface that were free a moment ago, all different: held together, then let go together. */
export async function freePorts(count: number): Promise<number[]> {
  const servers: Server[] = [];
  const ports: number[] = [];
  for (let index = 0; index < count; index++) {
    const server = createServer();
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(0, "127.0.0.1", resolve);
    });
    servers.push(server);
    ports.push((server.address() as AddressInfo).port);
  }
  await Promise.all(
    servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => {
            resolve();
          });
        }),
    ),
  );
  return ports;
}

import { type ConnectOptions, type TrivetConnection, connect } from "@trivet/client";
import { expect, onTestFinished, vi } from "vitest";
import { FakeCluster } from "./fake-cluster.ts";

/** A pretended cluster, stopped after the test. */
export async function cluster(nodes = 1): Promise<FakeCluster> {
  const started = await FakeCluster.start(nodes);
  onTestFinished(() => started.stop());
  return started;
}

/** A connection with short times, closed after the test. */
export async function connected(to: FakeCluster | readonly string[], options: ConnectOptions = {}): Promise<TrivetConnection> {
  const urls = to instanceof FakeCluster ? to.urls : to;
  const connection = await connect(urls, { backoffMs: [5, 50], staggerMs: 50, ...options });
  onTestFinished(() => connection.close());
  return connection;
}

/** Waits for a condition. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  await vi.waitFor(() => expect(condition(), what).toBe(true), { timeout: 20_000, interval: 5 });
}

/** The error that a promise is rejected with. */
export async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`expected a failure, got ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

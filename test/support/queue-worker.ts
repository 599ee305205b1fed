import { appendFileSync } from "node:fs";
import { consumeUntilStopped } from "./queue-clients.ts";
import type { WorkerSettings } from "./queue-workers.ts";

// A consumer as a process of its own, which a test can kill. What it sees is in its file before it does anything about it; what a process has written
// outlives it. SIGTERM: it finishes what it has and ends.
const { file, urls, ...settings } = JSON.parse(process.argv[2] ?? "") as WorkerSettings;
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
await consumeUntilStopped({
  ...settings,
  urls: () => urls,
  failing: 0,
  record: (record) => appendFileSync(file, `${JSON.stringify(record)}\n`),
  surprised: (what) => console.log(`surprise: ${what}`),
  stop: stop.signal,
});

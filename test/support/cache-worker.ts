import { playRounds, type RoundsSettings } from "./cache-rounds.ts";

// A program with a near cache as a process of its own, which a test can stop. SIGTERM: it prints what it found wrong, and ends.
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort());
const problems = await playRounds(JSON.parse(process.argv[2] ?? "") as RoundsSettings, stop.signal);
for (const problem of problems) console.log(problem);

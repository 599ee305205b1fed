import { loadSwitch } from "./mutants/switch.ts";
import { type Job, perform } from "./pool.ts";

// A process of the pool: jobs come and results go by IPC; it ends with the channel.
const mutants = await loadSwitch();
process.on("message", (job) => {
  process.send?.(perform(job as Job, mutants));
});

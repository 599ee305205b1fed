import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Loaded into our own nodes by lock-million (`--import`): a full garbage collection on SIGUSR2, so that what is weighed is live data.
 * Without it the weight of a lock would depend on when V8 last felt like collecting.
 */
setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
process.on("SIGUSR2", () => {
  collect();
});

// `npm start`: a three-node cluster on this machine, from a fresh clone.
// With NODE_ID or a list of nodes in the process environment it is one node of a cluster that the caller lays out.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { root } from "./lib/run.mjs";
import { say } from "./lib/say.mjs";

/** Any of these in the process environment says: this terminal is one node. A `.env` file does not count. */
const oneNodeNames = ["NODE_ID", "PEERS", "ALL_NODES", "PEER_ADDRESSES", "CLUSTER_NODES", "RAFT_PEERS", "QUEUE_NODES", "CACHE_PEERS"];

await firstStep();
// The client too: whoever has a cluster running tries the SDK next.
if (!(await build(["packages/cli", "packages/client"]))) process.exit(1);

const named = oneNodeNames.filter((name) => process.env[name]);
const verb = named.length > 0 ? "serve" : "dev";
if (verb === "serve")
  say(`One node, because ${named.join(" and ")} ${named.length > 1 ? "are" : "is"} set. Unset to start a whole cluster.`);

// In this same process: signals and the exit code then need no relay.
const main = join(root, "packages", "cli", "bundle", "main.js");
process.argv = [process.execPath, main, verb, ...process.argv.slice(2)];
await import(pathToFileURL(main).href);

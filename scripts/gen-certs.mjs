// Behind gen_certs.sh and gen_certs.ps1: an authority, and certificates for nodes by their names.
import { join } from "node:path";
import { build } from "./build.mjs";
import { firstStep } from "./first-step.mjs";
import { root, run } from "./lib/run.mjs";

/** The nodes that S2 names. */
const seven = ["node1", "node2", "node3", "queue-node-1", "cache-node-1", "cache-node-2", "cache-node-3"];

await firstStep();
if (!(await build(["packages/cli"]))) process.exit(1);

/** The nodes of docker/docker-compose.yml, in both of its topologies, and the user that they run as. */
const ofCompose = [
  "node1",
  "node2",
  "node3",
  ...["lock", "queue", "cache"].flatMap((role) => [1, 2, 3].map((number) => `node_${role}_${number}`)),
];
const userOfImage = "1000";

const isCompose = process.argv.includes("--compose");
const given = process.argv.slice(2).filter((word) => word !== "--compose");
// Options of `trivet cert issue`, with their values, are passed on; `--dir` is for both verbs.
const options = given.findIndex((word) => word.startsWith("-"));
const names = options === -1 ? given : given.slice(0, options);
const rest = options === -1 ? [] : given.slice(options);
const dir = rest.indexOf("--dir");
const folder = dir === -1 ? [] : rest.slice(dir, dir + 2);

// Root's keys could not be read in the containers; any other user could not give them away, and on a desktop is the user 1000 anyway.
if (isCompose && process.getuid?.() === 0) rest.push("--owner", userOfImage);
const usual = isCompose ? ofCompose : seven;

const trivet = join(root, "packages", "cli", "bundle", "main.js");
for (const words of [
  ["init", ...folder],
  ["issue", ...(names.length > 0 ? names : usual), ...rest],
]) {
  const { code } = await run(process.execPath, ["--", trivet, "cert", ...words], { cwd: process.cwd() });
  if (code !== 0) process.exit(code);
}

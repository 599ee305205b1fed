// Child processes of the scripts.
import { spawn } from "node:child_process";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder that holds package.json. */
export const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");

/**
 * Runs a program in the repository's folder. Resolves to `{ code, output }`; never rejects.
 * `quiet` collects stdout and stderr instead of passing them on.
 */
export function run(command, args, { quiet = false, env = process.env, input = "ignore", cwd = root } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: [input, quiet ? "pipe" : "inherit", quiet ? "pipe" : "inherit"] });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream?.setEncoding("utf8").on("data", (text) => (output += text));
    child.on("error", (error) => resolve({ code: 127, output: `${command}: ${error.message}` }));
    child.on("close", (code, signal) => resolve({ code: code ?? 1, output: signal ? `${output}\nended by ${signal}` : output }));
  });
}

/** Path of the JavaScript file behind a tool in node_modules, run with this same Node: no shell, no PATH. */
export function tool(...path) {
  return join(root, "node_modules", ...path);
}

/** Runs npm: the one that runs us when there is one, else the one on the PATH. */
export function npm(args, options = {}) {
  const own = process.env.npm_execpath;
  if (own?.endsWith(".js")) return run(process.execPath, [own, ...args], options);
  return run(process.platform === "win32" ? "npm.cmd" : "npm", args, options);
}

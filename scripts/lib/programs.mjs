// Programs of the system that tests call, and the Debian packages that bring them.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { run } from "./run.mjs";
import { say, warn } from "./say.mjs";

/** Installs what a suite calls, where that is allowed; tests that still miss their program skip themselves, and are counted. */
export async function installPrograms(programs) {
  const missing = programs.filter(({ program }) => !onPath(program));
  if (missing.length === 0) return;
  const names = missing.map(({ debian }) => debian).join(" ");
  if (process.env.TRIVET_NO_INSTALL === "1") return warn(`Not installed (TRIVET_NO_INSTALL=1): ${names}. Tests that need it are skipped.`);
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version")) {
    return warn(`Missing: ${names}. Only root on Debian can install it from here; tests that need it are skipped.`);
  }
  say(`Installing Debian packages for the tests: ${names} (TRIVET_NO_INSTALL=1 keeps me from that).`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  await run("apt-get", ["update", "-qq"], { quiet: true, env });
  const { code, output } = await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...names.split(" ")], {
    quiet: true,
    env,
  });
  if (code !== 0) warn(`Could not install ${names}: ${output.trim().split("\n").at(-1)}`);
}

function onPath(program) {
  return (process.env.PATH ?? "").split(":").some((folder) => existsSync(join(folder, program)));
}

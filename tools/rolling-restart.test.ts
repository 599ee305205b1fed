import { spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const scripts = join(dirname(fileURLToPath(import.meta.url)), "..", "scripts");

/** A checkout with the script alone; Docker and the CLI say what they are called with. */
let root: string;
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), "trivet-rolling-")));
  for (const folder of ["scripts", "docker", "bin", "packages/cli/bundle"]) mkdirSync(join(root, folder), { recursive: true });
  copyFileSync(join(scripts, "rolling_restart.sh"), join(root, "scripts", "rolling_restart.sh"));
  const docker = [
    'case "$*" in *" port "*) echo 127.0.0.1:28001 ;; "compose version") ;; *) echo "$PWD: $*; COMPOSE_FILE=${COMPOSE_FILE:-}" ;; esac',
  ];
  writeFileSync(join(root, "bin", "docker"), ["#!/bin/sh", ...docker, ""].join("\n"));
  chmodSync(join(root, "bin", "docker"), 0o755);
  writeFileSync(
    join(root, "packages", "cli", "bundle", "main.js"),
    'console.log(process.env.TRIVET_URL, process.env.TRIVET_CA_FILE ?? "no authority", process.argv.slice(2).join(" "));\n',
  );
});
afterEach(() => rmSync(root, { recursive: true }));

function run(args: readonly string[], env: Readonly<Record<string, string>>): { readonly code: number | null; readonly text: string } {
  const { status, stderr, stdout } = spawnSync("bash", [join(root, "scripts", "rolling_restart.sh"), ...args], {
    cwd: root,
    encoding: "utf8",
    env: { PATH: `${join(root, "bin")}:${process.env["PATH"] ?? ""}`, ...env },
  });
  return { code: status, text: `${stdout}${stderr}`.trim() };
}
const restart = (env: Readonly<Record<string, string>>): string => run(["--restart-service"], { TRIVET_NODE: "node1", ...env }).text;
const asked = (env: Readonly<Record<string, string>>): string => run(["--compose", "node1"], env).text;
const up = "up -d --no-deps --force-recreate node1";

describe("scripts/rolling_restart.sh --compose", () => {
  it("recreates a service of the plain cluster, and asks it over HTTP", () => {
    expect(restart({})).toBe(`${root}/docker: compose -f docker-compose.yml ${up}; COMPOSE_FILE=`);
    expect(asked({})).toMatch(/^http:\/\/127\.0\.0\.1:28001 no authority member restart .*--at node1=http:\/\/127\.0\.0\.1:28001/);
  });

  it("takes the env file and TLS that scripts/run_cluster.sh was given", () => {
    writeFileSync(join(root, ".env.production"), "SHARED_MAC_KEY=x\n");
    const env = { ENV_FILE: ".env.production", TLS: "1" };
    expect(restart(env)).toBe(
      `${root}/docker: compose --env-file ${root}/.env.production -f docker-compose.yml -f docker-compose.tls.yml ${up}; COMPOSE_FILE=`,
    );
    expect(asked(env)).toMatch(new RegExp(`^https://127\\.0\\.0\\.1:28001 ${root}/docker/\\.\\./certs/ca\\.crt .*node1=https://`));
  });

  it("leaves the files to COMPOSE_FILE, in the environment or in .env", () => {
    const files = "docker-compose.yml:docker-compose.tls.yml";
    writeFileSync(join(root, ".env"), `# COMPOSE_FILE=none.yml\nCOMPOSE_FILE="${files}"\r\nCERTS_DIR=/etc/certs\n`);
    expect(restart({})).toBe(`${root}/docker: compose --env-file ${root}/.env ${up}; COMPOSE_FILE=${files}`);
    expect(asked({})).toMatch(/^https:\/\/127\.0\.0\.1:28001 \/etc\/certs\/ca\.crt /);
    expect(restart({ COMPOSE_FILE: "docker-compose.yml" })).toContain(`${up}; COMPOSE_FILE=docker-compose.yml`);
    expect(asked({ COMPOSE_FILE: "docker-compose.yml" })).toMatch(/^http:/);
    expect(asked({ TRIVET_CA_FILE: "/mine.crt" })).toContain(" /mine.crt ");
  });

  it("recreates nothing with an env file that is not there", () => {
    const { code, text } = run(["--restart-service"], { TRIVET_NODE: "node1", ENV_FILE: ".env.none" });
    expect(code).toBe(78);
    expect(text).toMatch(/\.env\.none does not exist/);
    expect(text).not.toContain("up -d");
  });
});

import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Curl } from "./document-checks.ts";
import { call, type Json } from "./http.ts";
import { repository, run } from "./processes.ts";
import { runVerbatim } from "./shell.ts";
import { ready, waitFor } from "./wait.ts";

function succeeds(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, [...args], { stdio: "ignore" }).status === 0;
}

/** An engine that answers, with either Compose. Everything in containers is skipped, named and counted, where there is none. */
export const hasEngine: boolean =
  succeeds("docker", "info") && (succeeds("docker", "compose", "version") || succeeds("docker-compose", "version"));

/** An image that nobody can pull here is no fault of ours; what needs it is skipped with its name. */
export const hasImage = (name: string): boolean => hasEngine && succeeds("docker", "image", "inspect", name);

/** Whichever of the two Composes is missing is the other one: the documents write both. */
const eitherCompose = `
docker() {
  if [ "$1" = compose ] && ! command docker compose version >/dev/null 2>&1; then shift; command docker-compose "$@"; else command docker "$@"; fi
}
docker-compose() { if type -P docker-compose >/dev/null; then command docker-compose "$@"; else command docker compose "$@"; fi; }
export -f docker docker-compose
`;

/** A copy of the checkout, as a fresh clone has it: the documents' steps change its files. */
export function copyOfCheckout(): string {
  const folder = mkdtempSync(join(tmpdir(), "trivet-clone-"));
  const listed = spawnSync("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], { cwd: repository, encoding: "utf8" });
  if (listed.status !== 0) throw new Error(`git ls-files: ${listed.stderr}`);
  for (const path of listed.stdout.split("\0").filter((each) => each !== "")) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    cpSync(join(repository, path), join(folder, path), { force: true });
  }
  return folder;
}

/** Changes a file of the copy as a document tells its readers to. Gives what brings the former text back. */
export function editFile(file: string, change: (text: string) => string): () => void {
  const before = readFileSync(file, "utf8");
  const after = change(before);
  if (after === before) throw new Error(`${file}: nothing to change`);
  writeFileSync(file, after);
  return () => writeFileSync(file, before);
}

/** What `npm run build` makes, for scripts of the copy that call the command. */
export function linkBuilt(folder: string): void {
  const place = join(folder, "packages", "cli", "bundle");
  if (!existsSync(place)) symlinkSync(join(repository, "packages", "cli", "bundle"), place);
}

export interface Containers {
  /** The copy of the checkout that the commands run in. */
  readonly folder: string;
  /** Command lines of a document, run with Bash from the root of the copy. Throws when they fail. */
  readonly run: (commands: string, env?: Readonly<Record<string, string>>) => Promise<string>;
  readonly curl: Curl;
  /** Waits until nodes at these ports are healthy. */
  readonly healthy: (ports: readonly number[]) => Promise<void>;
  /** Writes the `.env` that a person would have, where both Composes find it; null: none. */
  readonly settings: (text: string | null) => void;
  /** S0's cluster: redis and three nodes. */
  readonly up: () => Promise<void>;
  /** All containers of the file, of every profile, with their data. */
  readonly down: () => Promise<void>;
}

export function containersIn(folder: string): Containers {
  const containers: Containers = {
    folder,
    run: async (commands, env = {}) => {
      const { code, output } = await run("bash", ["-c", `${eitherCompose}\nset -eo pipefail\n${commands}`], { cwd: folder, env });
      if (code !== 0) throw new Error(`${commands}\nended with ${code}:\n${output.slice(-4_000)}`);
      return output;
    },
    curl: (command) => runVerbatim(command, new Map(), folder),
    healthy: async (ports) => {
      for (const port of ports) {
        await waitFor(
          `the node at ${port} to be healthy`,
          async () => {
            const { status, text } = await call(`http://127.0.0.1:${port}/health`, { timeoutMs: 2_000 });
            return status === 200 ? ready(true) : `${status} ${text}`;
          },
          { deadlineMs: 240_000, everyMs: 500 },
        );
      }
    },
    settings: (text) => {
      for (const path of [".env", "docker/.env"]) {
        rmSync(join(folder, path), { force: true });
        if (text !== null) writeFileSync(join(folder, path), text);
      }
    },
    up: async () => {
      containers.settings(null);
      await containers.run("cd docker\ndocker-compose up -d");
      await containers.healthy([8001, 8002, 8003]);
      await shardsLed();
    },
    down: async () => {
      await containers.run("docker-compose -f docker/docker-compose.yml down --volumes --remove-orphans", {
        COMPOSE_PROFILES: "split,monitoring,loadtest",
      });
    },
  };
  // As scripts/run_cluster.sh does it: the nodes write their logs there, as a user of their own.
  mkdirSync(join(folder, "logs"), { recursive: true });
  chmodSync(join(folder, "logs"), 0o777);
  return containers;
}

/** The cache and queues answer at once when their shards have leaders. */
async function shardsLed(): Promise<void> {
  await waitFor(
    "every shard to be placed and the sample value to be there",
    async () => {
      const { status, text, body } = await call("http://127.0.0.1:8001/cache/item:123", { timeoutMs: 5_000 });
      return status === 200 && (body["data"] as Json)["id"] === 123 ? ready(true) : `${status} ${text}`;
    },
    { deadlineMs: 120_000, everyMs: 500 },
  );
}

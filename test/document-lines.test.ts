import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isUp, startDev, type Dev } from "./support/dev.ts";
import { filesBelow } from "../tools/lib/sources.ts";
import { bashLinesOf, type DocumentLine } from "./support/document-lines.ts";
import { repository, run, trivet } from "./support/processes.ts";
import { childrenOf } from "./support/shell.ts";

const documents = [
  "README.md",
  "docs/deployment_guide.md",
  "docs/access.md",
  "docs/cache-origins.md",
  "docs/operations.md",
  "docs/verification.md",
  "docs/benchmarks.md",
  "docs/id/README.md",
  "docs/id/panduan_deployment.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
];
const lines = documents.flatMap((path) => bashLinesOf(path));

/**
 * Lines that are not run here, with who runs them or why nobody can. Whoever writes a new kind of line into a document has to say it here; a
 * line that no pattern names is run.
 */
const elsewhere: readonly (readonly [pattern: RegExp, why: string])[] = [
  [/^(?:sudo )?(?:docker|docker-compose|cd docker)\b|scripts\/run_cluster\.sh|--compose/, "containers: test/acceptance"],
  [/^(?:kubectl|\(cd deploy\/kubernetes)/, "a Kubernetes cluster; tools/kubernetes.test.ts checks the files"],
  [/^git clone|^cd (?:trivet|<)/, "the clone is what runs this test"],
  [/^npm (?:ci|start|test)\b/, "test/start.test.ts and whoever runs this test"],
  [/npm start$/, "test/terminals.test.ts: one node per terminal"],
  [/^npm run (?:build|check|format|docs|simulate|mutants|acceptance|test:)|^\.ci\/run/, "continuous integration"],
  [/^(?:[A-Z_]+=\S+ )*npx vitest run /, "the tests that it names: continuous integration"],
  [/^npm run node --/, "test/env-files.test.ts, test/single-node.test.ts, test/membership.test.ts"],
  [
    /^npm run (?:bench|loadtest)|^locust|^python -m locust|scripts\/run_(?:load_)?tests\.sh/,
    "test/loadtest.test.ts, test/load-scenarios.test.ts, test/acceptance",
  ],
  [/^npx trivet --url http:\/\/localhost:8091/, "test/single-node.test.ts"],
  [/^npx trivet member (?:remove|replace|restart)/, "test/membership.test.ts, test/storage.test.ts"],
  [/scripts\/rolling_restart\.sh/, "it ends the nodes it is given: test/rolling-restart.test.ts"],
  [/scripts\/(?:backup|restore)\.sh/, "a Redis of one's own: test/redis-backup.test.ts"],
  [/^npx trivet recover\b/, "a majority of disks that is lost: test/recover-shards.test.ts"],
  [
    /namespace (?:create|set) (?:pages|profiles)\b|--namespace pages\b/,
    "an outside PostgreSQL: packages/server/test/adapters/origins/postgres-origin.test.ts",
  ],
  [/^redis-server|^apt|^pip|^python/, "programs of the system"],
  [/^[A-Z_]+=\S*$|^ENV_FILE=/, "a setting of an env file"],
  [/^curl .*https:/, "test/tls.test.ts"],
];

const isElsewhere = ({ command }: DocumentLine): boolean => elsewhere.some(([pattern]) => pattern.test(command));
const runnable = lines.filter((line) => !isElsewhere(line));

/** What a document has in place of an answer of one's own, and where the answer of before has it. */
const placeholders: readonly (readonly [text: string, field: RegExp])[] = [
  ['"fence": "17"', /"fence":"(\d+)"/],
  ["AQEAAQEHZGVmYXVsdA", /"receipt":"([^"]+)"/],
];

describe("the commands of the documents", () => {
  let folder: string;
  let dev: Dev;
  let said = "";
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "trivet-lines-"));
    // Commands are written for the root of a clone.
    for (const name of ["scripts", "docs", "benchmarks", "docker", ".env.node1", "env.example", "package.json"])
      symlinkSync(join(repository, name), join(folder, name));
    dev = await startDev(folder);
    await isUp(dev);
  });
  afterAll(async () => {
    for (const child of childrenOf(dev.launcher.pid)) process.kill(child, "SIGKILL");
    dev.launcher.signal("SIGKILL");
    await dev.launcher.exited;
    rmSync(folder, { recursive: true, force: true });
  });

  it("are there, and more than a few of them can be run here", () => {
    for (const path of documents) expect(lines.filter(({ place }) => place.startsWith(`${path}:`)).length, path).toBeGreaterThan(0);
    expect(runnable.length).toBeGreaterThan(25);
  });

  it("every document that has commands is among them", () => {
    const pages = ["README.md", "CONTRIBUTING.md", "SECURITY.md", ...filesBelow(repository, "docs").filter((path) => path.endsWith(".md"))];
    expect(pages.filter((path) => bashLinesOf(path).length > 0).toSorted()).toEqual(documents.toSorted());
  });

  it("each pattern of lines that are not run here still stands for some", () => {
    const idle = elsewhere.filter(([pattern]) => !lines.some(({ command }) => pattern.test(command))).map(([pattern]) => pattern.source);
    // Kinds of lines that a document may well begin to have.
    expect(idle.filter((source) => !/rolling_restart|redis-server|https|loadtest/.test(source))).toEqual([]);
  });

  it.each(runnable.map(({ place, command }) => [`${place} ${command.split("\n")[0] ?? ""}`, command] as const))(
    "%s",
    async (_name, command) => {
      const { code, output } = await run("bash", ["-c", `${shims}\n${onOurPorts(command)}`], {
        cwd: folder,
        env: { TRIVET_URL: [0, 1, 2].map((index) => dev.url(index)).join(",") },
      });
      expect(code, `${command}\n${output}`).toBe(0);
      said += output;
    },
  );

  /** `npx trivet` is the built command, and curl fails where an answer is an error. */
  const shims = `
npx() { [ "$1" = -- ] && shift; [ "$1" = trivet ] || return 127; shift; ${process.execPath} -- ${trivet} "$@"; }
curl() { command curl --silent --show-error --fail-with-body --max-time 20 "$@"; }
set -eo pipefail`;

  function onOurPorts(command: string): string {
    let text = command.replaceAll(
      /\b(localhost|127\.0\.0\.1):(800[123])\b/g,
      (_whole, host: string, port: string) => `${host}:${dev.mapped.get(Number(port))}`,
    );
    for (const [placeholder, field] of placeholders) {
      const last = [...said.matchAll(new RegExp(field.source, "g"))].at(-1)?.[1];
      if (last !== undefined) text = text.replaceAll(placeholder, placeholder.includes("fence") ? `"fence": "${last}"` : last);
    }
    return text;
  }
});

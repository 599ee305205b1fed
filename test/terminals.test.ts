import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { call, expectStatus } from "./support/http.ts";
import { freePorts, repository, start } from "./support/processes.ts";
import { ready, waitFor } from "./support/wait.ts";

describe("one node per terminal, as S0 tells", () => {
  it("npm start with PORT, NODE_ID and ALL_NODES is one node of three", async () => {
    const folder = mkdtempSync(join(tmpdir(), "trivet-terminals-"));
    const ports = await freePorts(3);
    const everyone = ports.map((port) => `http://localhost:${port}`).join(",");
    const terminals = ports.map((port, index) =>
      start(process.execPath, [join(repository, "scripts", "start.mjs")], {
        cwd: folder,
        env: { PORT: String(port), NODE_ID: `node${index + 1}`, ALL_NODES: everyone, REDIS_HOST: "localhost" },
      }),
    );
    try {
      for (const [index, port] of ports.entries()) {
        await waitFor(`node${index + 1} to be healthy`, async () => {
          if (terminals[index]?.hasExited()) throw new Error(`it ended:\n${terminals[index].output()}`);
          const answer = await call(`http://localhost:${port}/health`, { timeoutMs: 1_000 });
          return answer.status === 200 ? ready(true) : answer.text;
        });
        const { body } = await expectStatus(200, `http://localhost:${port}/`);
        expect(body).toMatchObject({ message: `Hello from Node node${index + 1}`, port });
        expect(body["peers"]).toHaveLength(2);
      }
      expect(terminals[0]?.output()).toContain("One node, because NODE_ID and ALL_NODES are set");
    } finally {
      for (const terminal of terminals) terminal.signal("SIGKILL");
      await Promise.all(terminals.map((terminal) => terminal.exited));
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

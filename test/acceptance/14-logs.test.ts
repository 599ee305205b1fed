/** Point 14: `tail -f logs/node1.log` and `tail -f logs/node1_structured.log` (L-12), and S4's way with containers. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { composeLines } from "../support/document-commands.ts";
import { start } from "../support/processes.ts";
import { ready, waitFor } from "../support/wait.ts";
import { inContainers, onEveryTarget } from "./targets.ts";

/** A command that never ends by itself, until it has printed what is looked for. */
async function follow(command: string, cwd: string, pattern: RegExp): Promise<string> {
  const following = start("bash", ["-c", `exec ${command}`], { cwd });
  try {
    return await waitFor(`\`${command}\` to show ${pattern.source}`, () => {
      if (following.hasExited()) throw new Error(`it ended:\n${following.output()}`);
      return pattern.test(following.output()) ? ready(following.output()) : following.output().slice(-1_000);
    });
  } finally {
    following.signal("SIGKILL");
    await following.exited;
  }
}

onEveryTarget((target) => {
  const [plain, structured] = composeLines.s4.tail;
  it(plain, () => follow(plain, target().folder, /node1/));

  it(`${structured}: JSON, a line each`, async () => {
    const output = await follow(structured, target().folder, /\n.*\n/);
    for (const line of output.trimEnd().split("\n").slice(0, 2)) expect(JSON.parse(line)).toMatchObject({ node: "node1" });
  });
});

inContainers((containers) => {
  beforeAll(() => containers().up());
  afterAll(() => containers().down());

  it("S4: logs -f node1, restart node1", async () => {
    const { run, folder, healthy } = containers();
    const command = composeLines.s4.logs.replace("docker compose", "docker-compose");
    await follow(command, folder, /node1/);
    await run(composeLines.s4.restart);
    await healthy([8001, 8002, 8003]);
  });
});

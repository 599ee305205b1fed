/** Point 3: the logs name the leader (L-01), there is exactly one, and all nodes agree who it is. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { composeLines, s4 } from "../support/document-commands.ts";
import type { Curl } from "../support/document-checks.ts";
import { inContainers, onEveryTarget } from "./targets.ts";

/** The leader that all three nodes name, with one term. */
async function agreedLeader(curl: Curl): Promise<unknown> {
  const answers = await Promise.all(s4.leader.map((command) => curl(command)));
  for (const { body, text } of answers) expect(body, text).toMatchObject({ agreed: true, leader: expect.stringMatching(/^node[123]$/) });
  expect(new Set(answers.map(({ body }) => `${JSON.stringify(body["leader"])} ${Number(body["term"])}`)).size).toBe(1);
  return answers[0]?.body["leader"];
}

/** Who announced itself as LEADER, in the order of the terms. */
function announced(lines: string): readonly string[] {
  return [...lines.matchAll(/node([123]).*LEADER/g)].map((match) => `node${match[1]}`);
}

onEveryTarget((target) => {
  it("/raft/leader says the same on all three nodes", () => agreedLeader(target().curl));
});

describe("grep LEADER", () => {
  onEveryTarget((target) => {
    it("the log file of the leader names it, those of the others only where they led before", async () => {
      const leader = await agreedLeader(target().curl);
      const log = readFileSync(join(target().folder, "logs", `${String(leader)}.log`), "utf8");
      expect(log).toMatch(/LEADER/);
    });
  });

  inContainers((containers) => {
    beforeAll(() => containers().up());
    it('S0\'s `docker-compose logs | grep "LEADER"` shows it', async () => {
      const leader = await agreedLeader(containers().curl);
      expect(announced(await containers().run(`cd docker\n${composeLines.s0.leader}`))).toContain(leader);
    });
  });
});

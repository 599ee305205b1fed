import { errorCatalogue, errorCodes } from "@trivet/contract";
import { CommanderError } from "commander";
import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

describe("errors of the CLI", () => {
  it.each(errorCodes)("exits for %s as the catalogue says, with what, why and next", async (code) => {
    const entry = errorCatalogue[code];
    const ran = await runCli(["lock", "ls"], () => ({
      status: entry.status,
      body: { code, title: entry.title, detail: "the reason", next: entry.next },
    }));
    expect(cliError(ran)).toMatchObject({ code, exitCode: entry.exitCode, message: entry.title, why: "the reason", next: entry.next });
  });

  it("keeps what an error brings along: holders, cycle", async () => {
    const body = { code: "deadlock", title: "Deadlock", cycle: [{ owner: "a" }], success: false };
    expect(cliError(await runCli(["lock", "ls"], () => ({ status: 409, body }))).details).toEqual({ cycle: [{ owner: "a" }] });
  });

  it("exits 1 for an answer that no Trivet node gives", async () => {
    expect(cliError(await runCli(["lock", "ls"], () => ({ status: 418, body: { text: "teapot" } })))).toMatchObject({
      exitCode: 1,
      code: "http_418",
    });
  });

  it("explains wrong use and points to --help", async () => {
    const ran = await runCli(["lock", "sohw", "x"], () => ({}));
    expect(ran.error).toBeInstanceOf(CommanderError);
    expect(ran.stderr).toMatch(/unknown command 'sohw'/);
    expect(ran.stderr).toMatch(/Did you mean show\?/);
    expect(ran.stdout).toBe("");
  });

  it("documents its exit codes in --help", async () => {
    const ran = await runCli(["--help"], () => ({}));
    expect(ran.stdout).toContain("Exit codes:");
    const documented = new Set([...ran.stdout.matchAll(/\b(\d+) [a-z]/g)].map((match) => Number(match[1])));
    for (const { exitCode } of Object.values(errorCatalogue)) {
      expect(documented, `exit code ${exitCode}`).toContain(exitCode);
    }
  });

  it.each(["ftp://a", "http://", "http://a:99999"])("does not ask %s, which is no node", async (url) => {
    const ran = await runCli(["lock", "ls", "--url", url], () => ({}));
    expect(cliError(ran)).toMatchObject({ exitCode: 64, message: `${url} is not the URL of a node.` });
    expect(ran.calls).toEqual([]);
  });

  it.each(["no_leader", "no_quorum", "stopping"])("asks the next node when one answers %s: nothing happened there", async (code) => {
    const ran = await runCli(["leader", "transfer", "--url", "a:1,b:2"], (_method, url) =>
      url.startsWith("http://a:1/") ? { status: 503, body: { code, title: "not here" } } : { body: { leader: "node2" } },
    );
    expect(ran.error).toBeNull();
    expect(ran.calls.map((call) => call.split(" ")[1])).toEqual([
      "http://a:1/v1/raft/transfer-leader",
      "http://b:2/v1/raft/transfer-leader",
    ]);
  });

  it("tells the first refusal when no node can", async () => {
    const ran = await runCli(["lock", "ls", "--url", "a:1,b:2"], (_method, url) =>
      url.startsWith("http://a:1/") ? { status: 503, body: { code: "no_leader", title: "No leader" } } : { fails: "ECONNREFUSED" },
    );
    expect(cliError(ran)).toMatchObject({ code: "no_leader", exitCode: 69 });
  });
});

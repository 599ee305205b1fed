import { describe, expect, it } from "vitest";
import { runCli, type Ran } from "./support.ts";

type Answer = Parameters<typeof runCli>[1];
const silent: Answer = () => ({ fails: "ECONNREFUSED" });
const ask = (words: readonly string[], answer: Answer = silent): Promise<Ran> => runCli(["__complete", "--", ...words], answer);
const offered = async (words: readonly string[], answer: Answer = silent): Promise<readonly string[]> => {
  const ran = await ask(words, answer);
  expect(ran.error).toBeNull();
  expect(ran.stderr, "a shell is no place for errors").toBe("");
  const [beyond = "", ...lines] = ran.stdout.trimEnd().split("\n");
  return [beyond, ...lines.map((line) => line.split("\t")[0] ?? "")];
};

describe("trivet completion", () => {
  it.each([
    [["ben"], ["none", "bench"]],
    [
      ["lock", "sh"],
      ["none", "show"],
    ],
    [
      ["cache", "namespace", "c"],
      ["none", "create"],
    ],
    [
      ["lock", "run", "--o"],
      ["none", "--on-lost", "--owner"],
    ],
    [
      ["lock", "--mo"],
      ["none", "--mode"],
    ],
    [
      ["lock", "a", "--mode", ""],
      ["none", "exclusive", "shared", "update"],
    ],
    [
      ["lock", "a", "--mode=s"],
      ["none", "--mode=shared"],
    ],
    [
      ["completion", ""],
      ["none", "bash", "zsh", "fish"],
    ],
    [
      ["bench", "q"],
      ["none", "queue"],
    ],
    [["--ca", ""], ["files"]],
    [["snapshot", "verify", ""], ["files"]],
    [
      ["--timeout", "5", "stat"],
      ["none", "status"],
    ],
    [["status", ""], ["none"]],
    [["lock", "a", "--", ""], ["command 3"]],
    [["lock", "run", "a", "--no-wait", "--", "ls", "-"], ["command 5"]],
    [["lock", "--", "ls", "--", ""], ["command 4"]],
    [["member", "restart", "--", ""], ["command 3"]],
    [["no", "such", "verb"], ["none"]],
  ])("%j is offered %j", async (words, expected) => {
    expect(await offered(words)).toEqual(expected);
  });

  it("tells what each word is, hides what is not for people", async () => {
    const { stdout } = await ask([""]);
    expect(stdout).toContain("\nlock\tlocks: ");
    expect(stdout).not.toContain("__complete");
  });

  it("asks the cluster for names of locks and queues, of the nodes that the line names", async () => {
    const asked: string[] = [];
    const answer: Answer = (_method, url) => {
      asked.push(url);
      return { body: { locks: [{ name: "orders/42" }, { name: "bad\nname" }], queues: [{ name: "jobs" }] } };
    };
    expect(await offered(["--url", "h:1", "lock", "show", "ord"], answer)).toEqual(["none", "orders/42"]);
    expect(await offered(["lock", "ord"], answer)).toEqual(["none", "orders/42"]);
    expect(await offered(["queue", "peek", ""], answer)).toEqual(["none", "jobs"]);
    expect(asked).toEqual([
      "http://h:1/v1/locks?limit=100&prefix=ord",
      "http://127.0.0.1:8001/v1/locks?limit=100&prefix=ord",
      "http://127.0.0.1:8001/v1/queues?limit=100",
    ]);
  });

  it.each(["nobody answers", "nobody may ask"])("offers no names where %s", async (why) => {
    expect(
      await offered(["lock", "show", ""], () => (why === "nobody answers" ? { fails: "ECONNREFUSED" } : { status: 401, body: {} })),
    ).toEqual(["none"]);
    expect(await offered(["--url", "ftp://x", "lock", "show", ""])).toEqual(["none"]);
  });

  it("prints a script for each shell, and no other", async () => {
    for (const shell of ["bash", "zsh", "fish"]) expect((await runCli(["completion", shell], silent)).stdout).toContain("__complete");
    expect((await runCli(["completion", "tcsh"], silent)).error).not.toBeNull();
  });
});

import { buildProgram } from "@trivet/cli";
import { describe, expect, it } from "vitest";
import { dividedAtDashes, withVerb } from "../src/locking/words.ts";
import { cliError, runCli } from "./support.ts";

const silent = { write: () => true };
const program = buildProgram({
  env: {},
  streams: { stdout: silent, stderr: silent },
  fetch,
  prompt: null,
  run: async () => "nothing is run here",
  signal: new AbortController().signal,
});
const routed = (line: string): string =>
  withVerb(["node", "trivet", ...line.split(" ")], program)
    .slice(2)
    .join(" ");

describe("the words of trivet lock NAME -- COMMAND", () => {
  it.each([
    ["lock a -- date", "lock run a -- date"],
    ["--url http://h:1 lock a b -- date", "lock run a b -- date"],
    ["lock --mode shared a -- ls", "lock run --mode shared a -- ls"],
    ["lock -- ls -- date", "lock run -- ls -- date"],
    ["lock --mode=shared -- ls -- date", "lock run --mode=shared -- ls -- date"],
  ])("%s takes a lock", (line, verb) => {
    expect(routed(line)).toContain(verb);
  });

  it.each(["lock run a -- date", "lock ls -- -prefix", "lock show -- -name", "lock help", "lock sohw x", "queue peek -- lock", "status"])(
    "%s stays what it is",
    (line) => {
      expect(routed(line)).toBe(line);
    },
  );

  it.each([
    ["a -- date", ["a", "date"], { names: ["a"], command: ["date"] }],
    ["a b --mode shared -- sh -c -- x", ["a", "b", "sh", "-c", "--", "x"], { names: ["a", "b"], command: ["sh", "-c", "--", "x"] }],
    ["-- ls -x -- date -- y", ["ls", "-x", "--", "date", "--", "y"], { names: ["ls", "-x"], command: ["date", "--", "y"] }],
    ["-- date", ["date"], { names: [], command: ["date"] }],
    ["a --", ["a"], { names: ["a"], command: [] }],
    ["a", ["a"], null],
  ])("%s is divided at its dashes", (typed, operands, divided) => {
    expect(dividedAtDashes(typed.split(" "), operands)).toEqual(divided);
  });

  it.each([
    ["no command", ["lock", "a", "--"], "No command follows that could be run."],
    ["no command, said in full", ["lock", "run", "a"], "No command follows that could be run."],
    ["no name", ["lock", "--", "date"], "No lock is named."],
    ["a name twice", ["lock", "a", "b", "a", "--", "date"], "a is named twice."],
    [
      "a grace time that is no part of the lease",
      ["lock", "a", "--ttl", "6", "--grace", "5", "--", "date"],
      /--grace 5 is too long for --ttl 6/,
    ],
    ["a time that is none", ["lock", "a", "--ttl", "soon", "--", "date"], /soon is not a number of seconds/],
  ])("wrong use: %s", async (_what, line, message) => {
    const error = cliError(await runCli(line, () => ({})));
    expect(error.exitCode).toBe(64);
    expect(error.message).toMatch(message);
    expect(error.next).not.toBe("");
  });

  it("says how to run a command to whom a name looked like a verb", async () => {
    const ran = await runCli(["lock", "orders/42"], () => ({}));
    expect(ran.stderr).toContain("trivet lock NAME -- COMMAND");
  });

  it("shows its own help, and leaves --help behind the dashes to the command", async () => {
    expect((await runCli(["lock", "run", "--help"], () => ({}))).stdout).toContain("TRIVET_FENCE");
    const ran = await runCli(["lock", "a", "--mode", "shared", "--", "/no/such/program", "--help"], () => ({}));
    expect(cliError(ran)).toMatchObject({ exitCode: 127, code: "command_not_found" });
    expect(ran.stdout).toBe("");
  });
});

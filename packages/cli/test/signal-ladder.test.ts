import { describe, expect, it } from "vitest";
import { SignalLadder } from "../src/locking/signal-ladder.ts";

describe("signals that are passed on to a command", () => {
  it.each([
    [
      ["SIGINT", "SIGTERM", "SIGINT"],
      ["SIGINT", "SIGTERM", "SIGKILL"],
    ],
    [
      ["SIGTERM", "SIGINT", "SIGHUP"],
      ["SIGTERM", "SIGKILL", "SIGKILL"],
    ],
    [
      ["SIGHUP", "SIGQUIT"],
      ["SIGHUP", "SIGTERM"],
    ],
  ] as const)("%s become %s", (came, sent) => {
    const ladder = new SignalLadder(false);
    expect(came.map((signal) => ladder.next(signal))).toEqual(sent);
  });

  it("the same one twice within a second is one: npm passes on what the terminal sent to all", () => {
    let now = 0;
    const ladder = new SignalLadder(false, () => now);
    expect(ladder.next("SIGINT")).toBe("SIGINT");
    now = 400;
    expect(ladder.next("SIGINT")).toBeNull();
    now = 1_500;
    expect(ladder.next("SIGINT")).toBe("SIGTERM");
    now = 3_000;
    expect(ladder.next("SIGINT")).toBe("SIGKILL");
  });

  it("keys of a terminal reach the command by themselves, as often as they are struck; what others send is passed on", () => {
    const ladder = new SignalLadder(true);
    expect([ladder.next("SIGINT"), ladder.next("SIGQUIT"), ladder.next("SIGINT")]).toEqual([null, null, null]);
    expect([ladder.next("SIGTERM"), ladder.next("SIGHUP")]).toEqual(["SIGTERM", "SIGKILL"]);
  });
});

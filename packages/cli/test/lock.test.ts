import { describe, expect, it } from "vitest";
import { cliError, runCli } from "./support.ts";

const held = {
  name: "orders/42",
  status: "held",
  holders: [{ owner: "billing-7", session_id: null, mode: "exclusive", fence: "17", depth: 1, expires_in_ms: 59_000, held_ms: 1_000 }],
  waiters: [{ position: 1, owner: "billing-8", session_id: "3", mode: "shared", waiting_ms: 250 }],
};

describe("trivet lock", () => {
  it("lists locks, page by page, up to the limit", async () => {
    const pages = new Map([
      [null, { locks: [held], next_cursor: "x", total: 3, waiters: 1 }],
      ["x", { locks: [{ ...held, name: "orders/43" }], next_cursor: "y", total: 3, waiters: 1 }],
    ]);
    const ran = await runCli(["lock", "ls", "orders/", "--limit", "2"], (_method, url) => ({
      body: pages.get(new URL(url).searchParams.get("cursor")),
    }));
    expect(ran.error).toBeNull();
    expect(ran.calls[0]).toBe("GET http://127.0.0.1:8001/v1/locks?limit=2&prefix=orders%2F");
    expect(ran.calls).toHaveLength(2);
    expect(ran.stdout).toMatch(/orders\/42 +held +billing-7 +exclusive +17 +59\.0 s +1/);
    expect(ran.stderr).toContain("--limit shows more");
  });

  it("shows one lock whatever characters its name has", async () => {
    const ran = await runCli(["lock", "show", "a/b c?é:%"], () => ({ body: held }));
    expect(ran.calls).toEqual([`GET http://127.0.0.1:8001/v1/locks/${encodeURIComponent("a/b c?é:%")}`]);
    expect(ran.stdout).toMatch(/billing-8 +3 +shared +250 ms/);
  });

  it("never writes control characters of a name to the terminal", async () => {
    const ran = await runCli(["lock", "show", "x"], () => ({ body: { ...held, name: "x\u001b[2J" } }));
    expect(ran.stdout).not.toContain("\u001b");
    expect(ran.stdout).toContain("x\\x1b[2J");
  });

  it("shows who waits for whom and the last deadlocks", async () => {
    const cycle = [{ owner: "a", waits_for: "k2", mode: "exclusive", held_by: "b" }];
    const ran = await runCli(["lock", "graph"], () => ({
      body: {
        edges: [{ waiter: "a", holder: "b", name: "k", mode: "exclusive", kind: "hard", waiting_ms: 5 }],
        cycles: [],
        last_resolutions: [{ at_ms: 0, victim: "a", name: "k2", cycle }],
      },
    }));
    expect(ran.stdout).toMatch(/a +b +k +exclusive +holder +5 ms/);
    expect(ran.stdout).toContain("victim a:\n  a waits for k2 of b");
  });

  it("robs a holder only when the name was typed, and says why to the node", async () => {
    const args = ["lock", "force-release", "orders/42", "--reason", "host is gone"];
    const refused = await runCli(args, () => ({}), { prompt: async () => "yes" });
    expect(cliError(refused)).toMatchObject({ exitCode: 64 });
    expect(refused.calls).toEqual([]);
    const unattended = await runCli(args, () => ({}));
    expect(cliError(unattended)).toMatchObject({ exitCode: 64, next: "repeat the command with --yes" });
    const done = await runCli(args, () => ({ body: { granted_to: ["billing-8"] } }), { prompt: async () => "orders/42" });
    expect(done.calls).toEqual(['POST http://127.0.0.1:8001/v1/locks/orders%2F42/force-release {"reason":"host is gone"}']);
    expect(done.stdout).toBe("Released; now held by billing-8.\n");
  });
});

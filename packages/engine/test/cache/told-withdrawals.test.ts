import { newHolder, type Line } from "@trivet/core";
import { MemoryTelemetry } from "@trivet/engine";
import type { HomeMessage, Scope } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { lineOfKey } from "../../src/cache/lines.ts";
import { tellWithdrawal } from "../../src/cache/told-withdrawals.ts";

const line = lineOfKey(1, "item:123");
const nameOf = (namespace: number): string | null => (namespace === 1 ? "default" : null);
const inv = (scope: Scope): HomeMessage => ({ type: "inv", term: 1, incarnation: 1, sequence: 1, scope });

function told(message: HomeMessage, version: number | null = null): MemoryTelemetry["lines"] {
  const telemetry = new MemoryTelemetry();
  const holder = newHolder("node1", 1);
  if (version !== null) holder.lines.set(line, { copy: { record: { version } } } as unknown as Line);
  tellWithdrawal(telemetry, holder, message, "node2", nameOf);
  return telemetry.lines;
}

describe("L-05: a withdrawal that a node receives", () => {
  test("of a line is told with key, version and sender", () => {
    expect(told(inv({ type: "line", line }), 7)).toEqual([
      {
        level: "info",
        event: "cache.invalidated",
        text: "the copy of item:123, version 7, withdrawn by node2",
        fields: { namespace: "default", key: "item:123", version: 7, sender: "node2" },
      },
    ]);
    expect(told(inv({ type: "line", line }))).toMatchObject([{ fields: { version: 0 } }]);
  });
  test("of a tag, a namespace or everything says so", () => {
    const texts = (
      [{ type: "namespace", namespace: "1", tag: "t" }, { type: "namespace", namespace: "9", tag: null }, { type: "everything" }] as const
    ).map((scope) => told(inv(scope))[0]?.text);
    expect(texts).toEqual([
      "all copies of namespace default with tag t withdrawn by node2",
      "all copies of namespace 9 withdrawn by node2",
      "all copies withdrawn by node2",
    ]);
  });
  test("nothing else is told so", () => {
    expect(told({ type: "share", term: 1, incarnation: 1, sequence: 1, line })).toEqual([]);
  });
});

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { inspectJson, parseStrictJson } from "../../src/json/strict-json.ts";

describe("strict JSON", () => {
  test("accepts exactly what JSON.parse accepts, apart from duplicates, depth and __proto__", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => {
        const fault = inspectJson(text, 64);
        expect(fault === null || fault.kind === "duplicate" || fault.kind === "forbidden").toBe(true);
      }),
      { numRuns: 500 },
    );
  });
  test("refuses whatever JSON.parse refuses", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), fc.nat(), fc.string({ minLength: 1, maxLength: 2 }), (text, at, extra) => {
        const place = at % (text.length + 1);
        const broken = text.slice(0, place) + extra + text.slice(place);
        let valid = true;
        try {
          JSON.parse(broken);
        } catch {
          valid = false;
        }
        const fault = inspectJson(broken, 64);
        if (!valid) expect(fault, broken).not.toBeNull();
        else expect(fault === null || fault.kind !== "syntax", broken).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
  test.each([
    ['{"a":1,"a":2}', "duplicate", 7],
    ['{"a":1,"\\u0061":2}', "duplicate", 7],
    ['{"__proto__":{}}', "forbidden", 1],
    ['{"x":{"\\u005f_proto__":1}}', "forbidden", 6],
    ["[[[]]]", "depth", 2],
    ['{"a":}', "syntax", 5],
    ["01", "syntax", 1],
    ["", "syntax", 0],
    ['"abc', "syntax", 0],
    ["nul", "syntax", 0],
    ["[1,]", "syntax", 3],
    ["'a'", "syntax", 0],
    ["{} x", "syntax", 3],
  ])("%s is a fault of kind %s at %d", (text, kind, position) => {
    expect(inspectJson(text, 2)).toMatchObject({ kind, position });
  });
  test("nesting of 200 000 is refused without recursion", () => {
    expect(inspectJson("[".repeat(200_000), 64)).toMatchObject({ kind: "depth", position: 64 });
  });
  test("line and column are counted from one", () => {
    expect(inspectJson('{\n "a": x}', 9)).toMatchObject({ line: 2, column: 7 });
  });
  test("the value comes back", () => {
    expect(parseStrictJson('{"a":[1,true,null,"x\\n"]}', 9)).toEqual({ type: "value", value: { a: [1, true, null, "x\n"] } });
  });
});

import { describe, expect, it } from "vitest";
import {
  composeLines,
  curlsOf,
  hasOriginals,
  knownCurls,
  loadLines,
  originals,
  s0NodeFour,
  s0Password,
  s2Openssl,
} from "../support/document-commands.ts";
import { postJson } from "../support/document-checks.ts";
import { onEveryTarget } from "./targets.ts";

/** Indentation aside, each of the lines stands in the text. */
const has = (text: string, lines: readonly string[]): void => {
  for (const line of lines) expect(text).toContain(line.replaceAll(/^[ \t]+/gm, "").trimEnd());
};

/** "Verbatim" can be checked where the five documents lie beside the checkout; elsewhere the commands of the tests stand for them. */
describe.skipIf(!hasOriginals)("the commands of the tests are those of the documents", () => {
  it("every curl command, and no other", () => {
    const found = originals().flatMap(curlsOf);
    expect(found.length).toBeGreaterThan(20);
    expect(new Set(found)).toEqual(knownCurls);
  });

  it("every start, scaling, log, load and openssl line", () => {
    const texts = originals().map((text) => text.replaceAll(/^[ \t]+/gm, ""));
    const [s0 = "", s1 = "", s2 = "", s3 = "", s4 = ""] = texts;
    has(s0, [...Object.values(composeLines.s0), s0NodeFour.env, s0NodeFour.service, ...Object.values(s0Password)]);
    has(s1, Object.values(composeLines.s1));
    has(s2, [composeLines.s2.up, ...s2Openssl]);
    has(s3, [...Object.values(composeLines.s3), loadLines.s3]);
    has(s4, [...Object.values(composeLines.s4).flat(), loadLines.s4]);
  });
});

/** Read from the documents themselves where they are there, in their order. */
const inOrder: readonly string[] = hasOriginals ? originals().flatMap(curlsOf) : [...knownCurls];

onEveryTarget((target) => {
  it("every curl command of the documents, in their order, is answered with 200", async () => {
    for (const command of inOrder) {
      const { status, text, body } = await target().curl(command);
      expect(status, `${command}\n${text}`).toBe(200);
      // What was handed out is settled, or it would come back into the next script.
      const { ack_token } = body;
      if (typeof ack_token === "string") await postJson(target().curl, "http://localhost:8001/queue/ack", { ack_token });
    }
  });
});

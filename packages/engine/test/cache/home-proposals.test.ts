import { encodeSingleCommandFrame, encodeUtf8 } from "@trivet/wire";
import { expect, test } from "vitest";
import { HomeProposals } from "../../src/cache/home-proposals.ts";
import { lineOfKey } from "../../src/cache/lines.ts";
import { guard } from "../hosts/guard.ts";

const value = encodeUtf8("1");
const condition = { type: "always" } as const;
const of = { namespace: 1, version: 1, key: "k", ifFence: null } as const;
const put = { type: "cache-put", ...of, value, tags: [], ttlMs: 0, condition, token: null } as const;
const answer = { caller: "c", sequence: 1, fingerprint: "", notAfter: 9, bytes: new Uint8Array() };

guard("cache-home-hears-queues", "a queue's command under the caller and number of a write says nothing of the write", () => {
  const proposals = new HomeProposals();
  proposals.propose(7, encodeSingleCommandFrame("c", "", 9, put));
  expect(proposals.answered(answer)).toBeNull();
  // The home still hears the caller's answers.
  expect(proposals.routes.has("c")).toBe(true);
  expect(proposals.answered({ ...answer, isCache: true })).toMatchObject({ proposal: 7 });
  expect(proposals.routes.has("c")).toBe(false);
});

test("a command that cannot be read has an answer all the same", () => {
  const proposals = new HomeProposals();
  const frame = encodeSingleCommandFrame("c", "", 9, put);
  // The number of the command, behind the header.
  const broken = frame.map((byte, at) => (at === frame.length - putLength ? 0x7f : byte));
  proposals.propose(7, broken);
  expect(proposals.answered(answer)).toMatchObject({ proposal: 7 });
});
const putLength = encodeSingleCommandFrame("c", "", 9, put).length - encodeSingleCommandFrame("c", "", 9, put).indexOf(98);

test("the end of a value is told by the home's own name", () => {
  const proposals = new HomeProposals();
  proposals.begin("home");
  const line = lineOfKey(1, "k");
  const frame = proposals.ownFrame({ type: "cache-expire", values: [{ namespace: 1, key: "k", version: 3 }] }, line);
  proposals.propose(8, frame);
  expect(proposals.answered({ ...answer, caller: "", fingerprint: "home", notAfter: 0, isCache: true })).toMatchObject({
    proposal: 8,
    line,
  });
});

import { type HolderMessage, type HomeMessage, lineName } from "@trivet/wire";
import { expect, test } from "vitest";
import { NearHolder } from "../src/cache/near-holder.ts";

const line = lineName("1", "k");
const record = { version: 1, value: new Uint8Array([1]), tags: [], ttlMs: 0, asOf: 1 };
const retryMs = 700;

/** A holder of a program whose home is this test. */
class Alone {
  readonly said: HolderMessage[] = [];
  steady = 1_000;
  readonly holder = new NearHolder("p", {
    now: () => ({ steady: this.steady, wall: this.steady }),
    send: (message) => void this.said.push(message),
    kept: () => {},
    dropped: () => {},
  });

  /** What was said since this was last asked for. */
  heard<Type extends HolderMessage["type"]>(type: Type): Extract<HolderMessage, { type: Type }>[] {
    return this.said.filter((message): message is Extract<HolderMessage, { type: Type }> => message.type === type);
  }

  answer(message: Record<string, unknown>): void {
    this.holder.receive({ term: 1, incarnation: 1, ...message } as unknown as HomeMessage);
  }

  /** A write that wants a copy of what it wrote, and its answer. */
  write(): void {
    this.said.length = 0;
    this.holder.write(line, new Uint8Array([1]), true, this.steady + 1_000, () => {});
    const [write] = this.heard("write");
    this.answer({
      type: "done",
      line,
      txn: write?.txn,
      grant: "none",
      outcome: { version: 1, answer: new Uint8Array(0) },
      record,
      sequence: 0,
    });
  }
}

test("a program that is barred reads nothing for copies that it may not keep; when the bar is over it does", () => {
  const alone = new Alone();
  alone.holder.read(line, { type: "write-through" }, alone.steady + 1_000, () => {});
  const [[renew], [read]] = [alone.heard("renew"), alone.heard("read")];
  expect(alone.said.map(({ type }) => type)).toEqual(["renew", "read"]);
  alone.answer({ type: "data", line, txn: read?.txn, grant: "none", record, sequence: 0 });
  alone.answer({ type: "refused", request: renew?.request, reason: "barred", retryMs });

  for (let writes = 0; writes < 3; writes++) {
    alone.write();
    expect(alone.said.map(({ type }) => type)).toEqual(["write"]);
  }
  alone.steady += retryMs;
  alone.write();
  expect(alone.said.map(({ type }) => type).sort()).toEqual(["read", "renew", "write"]);
  // The lease is on its way: what is wanted is read again when it is there.
  alone.write();
  expect(alone.said.map(({ type }) => type)).toEqual(["write"]);
});

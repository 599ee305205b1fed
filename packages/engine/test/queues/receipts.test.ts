import { formatMessageId, formatReceipt, parseMessageId, parseReceipt } from "@trivet/engine";
import { expect, test } from "vitest";

const parts = { queue: 7, partition: 3, sequence: 123_456_789_012, acquired: 2, group: "Rechnungen – ü", incarnation: 3 };

test("a receipt is one word, and names what it was made of", () => {
  for (const group of ["", "g", "a/b+c", "x".repeat(256), parts.group]) {
    const receipt = formatReceipt({ ...parts, group });
    expect(receipt).toMatch(/^[\w-]+$/);
    expect(parseReceipt(receipt)).toEqual({ ...parts, group });
  }
  const most = Number.MAX_SAFE_INTEGER;
  const largest = { queue: most, partition: 1023, sequence: most, acquired: most, incarnation: most };
  expect(parseReceipt(formatReceipt({ ...largest, group: "x".repeat(256) }))).toEqual({ ...largest, group: "x".repeat(256) });
});

test("anything else is no receipt", () => {
  const receipt = formatReceipt(parts);
  for (let length = 0; length < receipt.length; length++) expect(parseReceipt(receipt.slice(0, length))).toBeNull();
  expect(parseReceipt(formatReceipt({ ...parts, incarnation: 0 }))).toBeNull();
  // As they were before they told groups of one name apart.
  expect(parseReceipt("AQcAAQFn")).toBeNull();
  for (const other of [`${receipt}A`, ` ${receipt}`, `${receipt}=`, receipt.replace(/^./, "x"), "ü", "A".repeat(10_000), "AAAA"]) {
    expect(parseReceipt(other)).toBeNull();
  }
});

test("a message id has one spelling", () => {
  const name = { queue: 7, partition: 0, sequence: 12 };
  expect(formatMessageId(name)).toBe("7-0-12");
  expect(parseMessageId("7-0-12")).toEqual(name);
  for (const other of ["", "7-0", "7-0-0", "07-0-1", "7-00-1", "7-0-1 ", "7-0--1", "7-0-1e3", "9999999999999999-0-1", "7-99999-1"]) {
    expect(parseMessageId(other)).toBeNull();
  }
});

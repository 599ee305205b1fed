import { encodeUtf8 } from "@trivet/wire";
import { invariant } from "../kernel/assert.ts";
import { decodeQueued, weightQueued } from "../coherence/values/outbox.ts";
import { decodeValue } from "../coherence/values/records.ts";
import { KeyReader, keyOf, keysEnd, tables } from "../queues/keys.ts";
import { decodeIntegers } from "../queues/records.ts";
import type { OrderedView } from "../queues/store.ts";

/**
 * Walks all cached values of a shard's store and throws InvariantError where it contradicts itself. For tests and the simulator: the work
 * grows with what is stored.
 */
export function checkValues(view: OrderedView): void {
  const use = new Map<number, { entries: number; bytes: number }>();
  const tagged = new Set<string>();
  const ends = new Set<string>();
  let bytes = 0;
  const latest = integers(view, keyOf(tables.meta, 3), 1)[0] ?? 0;
  for (const { key, value } of pairs(view, keyOf(tables.value))) {
    const reader = new KeyReader(key);
    const [namespace, name] = [reader.integer(), reader.text()];
    const record = decodeValue(value);
    const weight = encodeUtf8(name).length + value.length;
    const known = use.get(namespace) ?? { entries: 0, bytes: 0 };
    use.set(namespace, { entries: known.entries + 1, bytes: known.bytes + weight });
    bytes += weight;
    invariant(record.version >= 1 && record.version <= latest, "cache-version-given", () => `${record.version} of ${latest}`);
    for (const tag of record.tags) tagged.add(JSON.stringify([namespace, tag, name]));
    if (record.endsAt > 0) ends.add(JSON.stringify([record.endsAt, namespace, name, record.version]));
  }
  const counted = pairs(view, keyOf(tables.namespaceUse)).map(({ key, value }) => [new KeyReader(key).integer(), value] as const);
  for (const [namespace, value] of counted) {
    const [entries = 0, of = 0] = decodeIntegers(value, 2);
    const found = use.get(namespace) ?? { entries: 0, bytes: 0 };
    invariant(
      found.entries === entries && found.bytes === of,
      "cache-use-counted",
      () => `namespace ${namespace}: ${entries} entries, ${of} bytes`,
    );
    use.delete(namespace);
  }
  invariant(use.size === 0, "cache-use-counted", () => `namespaces ${[...use.keys()].join()}`);
  const total = integers(view, keyOf(tables.meta, 4), 1)[0] ?? 0;
  invariant(total === bytes, "cache-bytes-counted", () => `${total} by the counter, ${bytes} in the store`);
  sameMembers("cache-tags-indexed", tagged, view, keyOf(tables.tagged), (reader) => [reader.integer(), reader.text(), reader.text()]);
  sameMembers("cache-ends-indexed", ends, view, keyOf(tables.valueEnd), (reader, value) => [
    reader.integer(),
    reader.integer(),
    reader.text(),
    decodeIntegers(value, 1)[0],
  ]);
  checkOutbox(view, latest);
}

/** What waits for origins: counted, and each key in its one turn. */
function checkOutbox(view: OrderedView, latest: number): void {
  const turns = new Set<string>();
  const use = new Set<string>();
  const waiting = new Map<number, { keys: number; bytes: number }>();
  for (const { key, value } of pairs(view, keyOf(tables.outbox))) {
    const reader = new KeyReader(key);
    const [namespace, name] = [reader.integer(), reader.text()];
    const record = decodeQueued(value);
    invariant(
      record.place <= record.version && record.version <= latest,
      "cache-behind-version-given",
      () => `${record.version} of ${latest}`,
    );
    turns.add(JSON.stringify([record.place, namespace, name]));
    const known = waiting.get(namespace) ?? { keys: 0, bytes: 0 };
    waiting.set(namespace, { keys: known.keys + 1, bytes: known.bytes + weightQueued(name, record.value) });
  }
  for (const [namespace, { bytes, keys }] of waiting) use.add(JSON.stringify([namespace, keys, bytes]));
  sameMembers("cache-behind-turns", turns, view, keyOf(tables.outboxTurn), (reader) => [reader.integer(), reader.integer(), reader.text()]);
  sameMembers("cache-behind-counted", use, view, keyOf(tables.outboxUse), (reader, value) => [
    reader.integer(),
    ...decodeIntegers(value, 2),
  ]);
}

function sameMembers(
  name: string,
  expected: ReadonlySet<string>,
  view: OrderedView,
  prefix: Uint8Array,
  read: (reader: KeyReader, value: Uint8Array) => readonly unknown[],
): void {
  const found = pairs(view, prefix).map(({ key, value }) => JSON.stringify(read(new KeyReader(key), value)));
  const wrong = found.find((one) => !expected.has(one));
  invariant(wrong === undefined, name, () => `${wrong} is in the index alone`);
  invariant(found.length === expected.size, name, () => `${found.length} in the index, ${expected.size} in the values`);
}

function integers(view: OrderedView, key: Uint8Array, count: number): readonly number[] {
  const stored = view.get(key);
  return stored === undefined ? [] : decodeIntegers(stored, count);
}

function pairs(view: OrderedView, prefix: Uint8Array): readonly { readonly key: Uint8Array; readonly value: Uint8Array }[] {
  const found: { readonly key: Uint8Array; readonly value: Uint8Array }[] = [];
  view.scan(prefix, keysEnd(prefix), (key, value) => {
    found.push({ key: key.slice(), value: value.slice() });
    return true;
  });
  return found;
}

import { ByteReader, decodeDefinition, decodeNamespace, type NamespaceDefinition, type QueueDefinition } from "@trivet/wire";
import { KeyReader, keyOf, keysEnd, type Table, tables } from "./keys.ts";
import type { OrderedView } from "./store.ts";

/** By number; null = the shard was told that it is deleted. */
type Known<T> = ReadonlyMap<number, T | null>;

/** What a shard was told of queues and namespaces. */
export interface ShardDefinitions {
  readonly queues: Known<QueueDefinition>;
  readonly namespaces: Known<NamespaceDefinition>;
}

export function definitionsIn(view: OrderedView): ShardDefinitions {
  return { queues: table(view, tables.queue, decodeDefinition), namespaces: table(view, tables.namespace, decodeNamespace) };
}

/** Both tables hold a byte that says whether it is defined, and then the definition. */
function table<T>(view: OrderedView, which: Table, decode: (reader: ByteReader) => T): Known<T> {
  const known = new Map<number, T | null>();
  const prefix = keyOf(which);
  view.scan(prefix, keysEnd(prefix), (key, value) => {
    known.set(new KeyReader(key).integer(), value[0] === 1 ? decode(new ByteReader(value, 1)) : null);
    return true;
  });
  return known;
}

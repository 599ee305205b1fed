import { mutant } from "#mutation";
import { ByteReader, ByteWriter, decodeNamespace, encodeNamespace, type NamespaceDefinition, type ShardResult } from "@trivet/wire";
import type { ShardContext } from "../../queues/context.ts";
import { namespaceJob, startJob } from "../../queues/jobs.ts";
import { KeyReader, keyOf, keysEnd, present, tables } from "../../queues/keys.ts";

const defined = 1;
/** The namespace is gone for good: a late definition must not bring it back. */
const dropped = 2;

/** Undefined when the namespace is not known here, or was dropped. */
export function namespaceOf(shard: ShardContext, namespace: number): NamespaceDefinition | undefined {
  const stored = shard.view.get(keyOf(tables.namespace, namespace));
  return stored === undefined || stored[0] !== defined ? undefined : decodeNamespace(new ByteReader(stored, 1));
}

/** Idempotent: an older definition than known changes nothing (rule G1). The mode stays as it was at the beginning. */
export function configureNamespace(shard: ShardContext, namespace: number, definition: NamespaceDefinition): ShardResult {
  const key = keyOf(tables.namespace, namespace);
  const state = shard.view.get(key)?.[0];
  const known = namespaceOf(shard, namespace);
  if (state === dropped && !mutant("cache-dropped-comes-back")) return { type: "counted", count: 0 };
  if (known !== undefined && known.version >= definition.version && !mutant("cache-older-definition-taken")) {
    return { type: "counted", count: 0 };
  }
  const mode = known === undefined || mutant("cache-mode-changed") ? definition.mode : known.mode;
  const writer = new ByteWriter();
  writer.u8(defined);
  encodeNamespace(writer, { ...definition, mode });
  shard.view.put(key, writer.finish());
  return { type: "counted", count: 1 };
}

export function dropNamespace(shard: ShardContext, namespace: number): ShardResult {
  const key = keyOf(tables.namespace, namespace);
  const state = shard.view.get(key)?.[0];
  if (state === dropped) return { type: "counted", count: 0 };
  shard.view.put(key, new Uint8Array([dropped]));
  if (state === defined) startJob(shard, namespaceJob, [namespace], present);
  return { type: "counted", count: state === defined ? 1 : 0 };
}

/** Every namespace this shard was told of, and the version it knows; 0 = dropped. */
export function knownNamespaces(shard: ShardContext): readonly (readonly [namespace: number, version: number])[] {
  const known: (readonly [number, number])[] = [];
  const prefix = keyOf(tables.namespace);
  shard.view.scan(prefix, keysEnd(prefix), (key, value) => {
    const namespace = new KeyReader(key).integer();
    known.push([namespace, value[0] === defined ? decodeNamespace(new ByteReader(value, 1)).version : 0]);
    return true;
  });
  return known;
}

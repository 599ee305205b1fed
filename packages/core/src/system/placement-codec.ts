import { type ByteReader, type ByteWriter, limits } from "@trivet/wire";
import type { PlacementView } from "./view.ts";

type Founder = PlacementView["founders"][number][number];

/** Epochs begin at 1: 0 = there is no placement. */
export function writePlacement(writer: ByteWriter, placement: PlacementView | null): void {
  writer.varint(placement?.epoch ?? 0);
  if (placement === null) return;
  const { replication, founders, shards } = placement;
  writer.varint(replication);
  writer.varint(shards.length);
  for (const [shard, nodes] of shards.entries()) {
    const founded = founders[shard] ?? [];
    writer.varint(founded.length);
    for (const { node, storage } of founded) {
      writer.string(node);
      writer.string(storage);
    }
    writer.varint(nodes.length);
    for (const node of nodes) writer.string(node);
  }
}

export function readPlacement(reader: ByteReader): PlacementView | null {
  const epoch = reader.varint();
  if (epoch === 0) return null;
  const replication = reader.varint();
  const founders: Founder[][] = [];
  const shards: string[][] = [];
  for (let left = reader.varint(limits.maxShards); left > 0; left--) {
    const founded: Founder[] = [];
    for (let more = reader.varint(); more > 0; more--)
      founded.push({ node: reader.string(limits.maxDetailBytes), storage: reader.string(limits.maxDetailBytes) });
    founders.push(founded);
    const nodes: string[] = [];
    for (let more = reader.varint(); more > 0; more--) nodes.push(reader.string(limits.maxDetailBytes));
    shards.push(nodes);
  }
  return { epoch, replication, founders, shards };
}

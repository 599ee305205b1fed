import { type ByteReader, type ByteWriter, decodeAuditChain, decodeAuditMark, encodeAuditMark, limits as wireLimits } from "@trivet/wire";
import { auditLimits } from "./limits.ts";
import type { AuditAnchor, AuditChainView, AuditedNodeView } from "./view.ts";

/** The anchors of one node's audit logs, as a record of a snapshot. */
export function writeAudited(writer: ByteWriter, { node, begun, chains }: AuditedNodeView): void {
  writer.string(node);
  writer.varint(begun);
  writer.varint(chains.length);
  for (const { chain, number, anchors } of chains) {
    writer.string(chain);
    writer.varint(number);
    writer.varint(anchors.length);
    for (const anchor of anchors) {
      encodeAuditMark(writer, anchor);
      writer.varint(anchor.at);
      writer.varint(anchor.ordinal);
    }
  }
}

export function readAudited(reader: ByteReader): AuditedNodeView {
  const node = reader.string(wireLimits.maxIdentityBytes);
  const begun = reader.varint();
  const chains: AuditChainView[] = [];
  for (let left = reader.varint(auditLimits.keptLogs); left > 0; left--) {
    const chain = decodeAuditChain(reader);
    const number = reader.varint();
    const anchors: AuditAnchor[] = [];
    for (let more = reader.varint(auditLimits.keptAnchors); more > 0; more--) {
      const { seq, mac } = decodeAuditMark(reader);
      anchors.push({ seq, mac, at: reader.varint(), ordinal: reader.varint() });
    }
    chains.push({ chain, number, anchors });
  }
  return { node, begun, chains };
}

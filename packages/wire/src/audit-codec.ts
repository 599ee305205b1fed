import type { ByteReader, ByteWriter } from "./bytes.ts";
import { CodecError } from "./codec-error.ts";
import type { AnchorAudit, AuditMark } from "./commands.ts";
import { decodeIdentity } from "./fields.ts";
import { limits } from "./limits.ts";

export function encodeAnchorAudit(writer: ByteWriter, { node, chain, head, before }: AnchorAudit): void {
  writer.string(node);
  writer.string(chain);
  encodeAuditMark(writer, head);
  encodeOptionalMark(writer, before);
}

export function decodeAnchorAudit(reader: ByteReader): AnchorAudit {
  const node = decodeIdentity(reader);
  const chain = decodeAuditChain(reader);
  return { type: "anchor-audit", node, chain, head: decodeAuditMark(reader), before: decodeOptionalMark(reader) };
}

/** Also in the records of a snapshot. */
export function encodeAuditMark(writer: ByteWriter, { seq, mac }: AuditMark): void {
  if (seq < 1) throw new CodecError(`record ${seq} of an audit log; they begin at 1`);
  if (mac.length !== limits.auditMacBytes) throw new CodecError(`a code of ${mac.length} characters`);
  writer.varint(seq);
  writer.string(mac);
}

export function decodeAuditMark(reader: ByteReader): AuditMark {
  const mark = decodeOptionalMark(reader);
  if (mark === null) throw new CodecError("an anchor of nothing");
  return mark;
}

/** Records are numbered from 1: 0 = there is none. */
export function encodeOptionalMark(writer: ByteWriter, mark: AuditMark | null): void {
  if (mark === null) writer.varint(0);
  else encodeAuditMark(writer, mark);
}

export function decodeOptionalMark(reader: ByteReader): AuditMark | null {
  const seq = reader.varint();
  return seq === 0 ? null : { seq, mac: reader.string(limits.auditMacBytes, limits.auditMacBytes) };
}

export function decodeAuditChain(reader: ByteReader): string {
  return reader.string(limits.maxAuditChainBytes, 1);
}

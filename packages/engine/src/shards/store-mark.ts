import {
  decodeMembership,
  encodeMembership,
  type LogIndex,
  logIndex,
  type Membership,
  type OrderedView,
  type Term,
  term,
} from "@trivet/core";
import { ByteReader, ByteWriter, CodecError } from "@trivet/wire";

/** Where a store stands in the log of its group: written in the same transaction as the data (rule W2). */
export interface StoreMark {
  readonly index: LogIndex;
  readonly term: Term;
  /** Configuration in force there; null = that of the founding. */
  readonly membership: Membership | null;
  readonly membershipIndex: LogIndex;
}

export const emptyMark: StoreMark = { index: logIndex(0), term: term(0), membership: null, membershipIndex: logIndex(0) };

/** Before every key of the state machine, whose tables begin with 1. */
const markKey: Uint8Array = new Uint8Array([0]);
const markVersion = 1;

export function isMarkKey(key: Uint8Array): boolean {
  return key.length === 1 && key[0] === 0;
}

export function readMark(view: OrderedView): StoreMark {
  const stored = view.get(markKey);
  if (stored === undefined) return emptyMark;
  const reader = new ByteReader(stored);
  const version = reader.u8();
  if (version !== markVersion) throw new CodecError(`version ${version} of a store's mark; this is ${markVersion}`);
  const index = logIndex(reader.varint());
  const at = term(reader.varint());
  const membershipIndex = logIndex(reader.varint());
  return { index, term: at, membershipIndex, membership: reader.u8() === 1 ? decodeMembership(reader) : null };
}

export function writeMark(view: OrderedView, mark: StoreMark): void {
  const writer = new ByteWriter();
  writer.u8(markVersion);
  writer.varint(mark.index);
  writer.varint(mark.term);
  writer.varint(mark.membershipIndex);
  writer.u8(mark.membership === null ? 0 : 1);
  if (mark.membership !== null) encodeMembership(writer, mark.membership);
  view.put(markKey, writer.finish());
}

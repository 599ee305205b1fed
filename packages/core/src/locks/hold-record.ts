import { type ByteReader, decodeMode, limits as wireLimits } from "@trivet/wire";
import type { LockMode } from "@trivet/wire";

const text = wireLimits.maxDetailBytes;

/** What the record of a hold says. One is read into again and again: a million are read while a node starts, and each new object would be garbage. */
export class HoldFields {
  name = "";
  session = 0;
  /** Told only where there is no session. */
  principal = "";
  owner = "";
  mode: LockMode = "exclusive";
  of = 0;
  fence = 0;
  depth = 0;
  anonymous = false;
  ttlMs = 0;
  since = 0;

  /** Throws CodecError. */
  read(reader: ByteReader): void {
    this.name = reader.string(text);
    this.session = reader.varint();
    this.principal = this.session === 0 ? reader.stringAs(this.principal, text) : "";
    this.owner = reader.stringAs(this.owner, text);
    this.mode = decodeMode(reader);
    this.of = reader.varint();
    this.fence = reader.varint();
    this.depth = reader.varint();
    this.anonymous = reader.u8() === 1;
    this.ttlMs = reader.varint();
    this.since = reader.varint();
  }
}

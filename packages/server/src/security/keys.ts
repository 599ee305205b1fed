import { createHash, timingSafeEqual } from "node:crypto";
import type { KeyRecord } from "./access-file.ts";

/** `tvt_<id>_<secret>`: the id finds the key, the secret proves it; the first part tells scanners of leaked secrets what they found. */
const keyPattern = /^tvt_([a-z0-9]{4,32})_([A-Za-z0-9_-]{43})$/;

export const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

export interface ParsedKey {
  readonly id: string;
  readonly secret: string;
}
export function parseKey(text: string): ParsedKey | null {
  const match = keyPattern.exec(text);
  return match === null ? null : { id: match[1] ?? "", secret: match[2] ?? "" };
}

/** Why a key is not valid now; null = it is. In the order in which a person would want to know. */
export function whyNot(record: KeyRecord, now: number): "revoked" | "expired" | null {
  if (record.revoked !== null) return "revoked";
  return record.expires !== null && Date.parse(record.expires) <= now ? "expired" : null;
}

/** In a time that does not tell how much of it was right. */
export const provesKey = (record: KeyRecord, secret: string): boolean => timingSafeEqual(Buffer.from(record.sha256, "hex"), sha256(secret));

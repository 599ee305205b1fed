import type { LockMode } from "@trivet/wire";
import type { Account } from "../sessions/account.ts";
import { avalanche, hashText, mix } from "../system/digest.ts";
import type { Hold } from "./hold.ts";
import type { Delay } from "./lock.ts";
import type { PackedRecord } from "./packed-holds.ts";
import type { Wait } from "./wait.ts";

/** What each record adds to the state hash (rule W7). */
export function holdDigest(hold: Hold): number {
  let hash = mix(hold.lock.hash ^ modeSalt[hold.mode], hold.fence);
  hash = mix(hash ^ hashText(hold.owner), accountWord(hold.account));
  return avalanche(mix(hash ^ hold.ttlMs, hold.depth * 2 + (hold.anonymous ? 1 : 0)));
}

/** The same of one that is packed. */
export function packedDigest(record: Omit<PackedRecord, "nameStart" | "nameEnd" | "end">): number {
  const { anonymous, depth, fence, mode, nameHash, ownerHash, session, ttlMs } = record;
  const hash = mix(mix(nameHash ^ modeSalt[mode], fence) ^ ownerHash, session);
  return avalanche(mix(hash ^ ttlMs, depth * 2 + (anonymous ? 1 : 0)));
}

export function waitDigest(wait: Wait): number {
  let hash = mix(hashText(wait.owner) ^ 0x57414954, wait.id);
  hash = mix(hash, accountWord(wait.account));
  for (const ticket of wait.tickets) hash = mix(hash ^ modeSalt[ticket.mode], ticket.lock.hash);
  hash = mix(hash ^ hashText(wait.caller), wait.sequence);
  return avalanche(mix(hash, wait.waitMs));
}

export function delayDigest(delay: Delay): number {
  return avalanche(mix(mix(delay.lock.hash ^ modeSalt[delay.mode] ^ 0x44454c41, delay.id), delay.ms));
}

function accountWord(account: Account): number {
  return account.session === 0 ? hashText(account.principal) : account.session;
}

const modeSalt: Readonly<Record<LockMode, number>> = { shared: 0x1b54a32d, update: 0x2c9277b5, exclusive: 0x3d1f4e91, permit: 0x4ab86307 };

import type { LockMode } from "@trivet/wire";

/**
 * Who may hold beside whom. `update` is the symmetric U of SQL Server: it stands beside readers but not beside another `update`, and
 * readers may join it. The asymmetric U of Gray and Reuter turns new readers away to spare the upgrader from starving; here the
 * upgrader goes first and holds them back by itself, so readers need not suffer before it asks.
 *
 * | held \ asked | shared | update | exclusive |
 * |---|---|---|---|
 * | shared | yes | yes | no |
 * | update | yes | no | no |
 * | exclusive | no | no | no |
 *
 * A permit only meets permits (a lock is either counted or not); how many fit is the semaphore's size.
 */
export function compatible(held: LockMode, asked: LockMode): boolean {
  if (held === "shared") return asked !== "exclusive";
  if (held === "update") return asked === "shared";
  return held === "permit";
}

const strength: Readonly<Record<LockMode, number>> = { shared: 1, update: 2, exclusive: 3, permit: 0 };

/** True when a hold of `mode` includes the rights of `asked`: whatever conflicts with `asked` conflicts with `mode`. */
export function covers(mode: LockMode, asked: LockMode): boolean {
  if (mode === "permit" || asked === "permit") return mode === asked;
  return strength[mode] >= strength[asked];
}

/** True when `mode` is strictly stronger than `than`. Permits have no order. */
export function stronger(mode: LockMode, than: LockMode): boolean {
  return mode !== "permit" && than !== "permit" && strength[mode] > strength[than];
}

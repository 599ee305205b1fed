import { exitCodes } from "@trivet/contract";
import { setTimeout as pause } from "node:timers/promises";
import type { LockAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";
import { showLock } from "../api/locks.ts";
import { CliError } from "../output/errors.ts";
import { milliseconds, printable, type Output } from "../output/output.ts";

/** Who is granted at once is told nothing. */
const firstLookMs = 300;
const nextLookMs = 2_000;

export interface Waiting {
  readonly names: readonly string[];
  readonly owner: string;
  readonly session: string;
  /** Fences of the locks that this process was started under (TRIVET_LOCKS). */
  readonly inherited: ReadonlySet<string>;
  /** There is no use in waiting. */
  readonly hopeless: (error: CliError) => void;
}

/** Tells a person where the request stands in line and who holds the locks, whenever that changes, until `signal`. */
export async function tellPlaces(api: Api, output: Output, waiting: Waiting, signal: AbortSignal): Promise<void> {
  const told = new Map<string, string>();
  for (let ms = firstLookMs; await passed(ms, signal); ms = nextLookMs) {
    for (const name of waiting.names) {
      const lock = await look(api, name);
      if (signal.aborted) return;
      if (lock === null) continue;
      const own = lock.holders.find(({ fence }) => waiting.inherited.has(fence));
      if (own !== undefined) return waiting.hopeless(waitsForItself(name, own.fence));
      tellPlace(output, lock, waiting, told);
    }
  }
}

/** False = it is over. */
function passed(ms: number, signal: AbortSignal): Promise<boolean> {
  return pause(ms, true, { signal }).catch(() => false);
}

/** Null = nobody tells, or nobody may: the wait is the same. */
async function look(api: Api, name: string): Promise<LockAnswer | null> {
  try {
    return await showLock(api, name);
  } catch (error) {
    if (error instanceof CliError) return null;
    throw error;
  }
}

function tellPlace(output: Output, lock: LockAnswer, { owner, session }: Waiting, told: Map<string, string>): void {
  const { name, holders, waiters } = lock;
  const own = waiters.filter((waiter) => waiter.owner === owner);
  // A session that was lost while waiting has been replaced by another.
  const place = (own.find((waiter) => waiter.session_id === session) ?? own[0])?.position;
  if (place === undefined) return;
  // How long it is held changes all the time.
  const now = `${place} ${waiters.length} ${holders.map(({ fence }) => fence).join(" ")}`;
  if (told.get(name) === now) return;
  told.set(name, now);
  const [first] = holders;
  const others = holders.length > 1 ? ` and ${holders.length - 1} more` : "";
  const by = first ? `; held by ${printable(first.owner)}${others} (${first.mode}, for ${milliseconds(first.held_ms)})` : "";
  const shown = holders.map(({ owner: holder, mode, fence, held_ms }) => ({ owner: holder, mode, fence, held_ms }));
  output.tell(
    "lock-waiting",
    { name, place, waiters: waiters.length, holders: shown },
    `Waiting for ${printable(name)}: place ${place} of ${waiters.length}${by}.`,
  );
}

function waitsForItself(name: string, fence: string): CliError {
  return new CliError({
    code: "deadlock",
    exitCode: exitCodes.deadlock,
    what: `This would wait for itself: it runs under ${printable(name)} already.`,
    why: `The lock is held, with fence ${fence}, by the trivet lock that this command was started by (TRIVET_LOCKS), which waits for its end.`,
    next: "take the lock once, outside; or unset TRIVET_LOCKS where the command is to go on after its parent has ended",
  });
}

import type { KeyOptions, Lock, LockMode, TrivetConnection } from "@trivet/client";
import { exitCodes } from "@trivet/contract";
import type { Command } from "commander";
import { setTimeout as pause } from "node:timers/promises";
import { isatty } from "node:tty";
import type { Api } from "../api/http.ts";
import { connectSdk, errorFromSdk, sdkCodeOf } from "../api/sdk.ts";
import { toolsOf, type Context } from "../context.ts";
import { CliError, Ended } from "../output/errors.ts";
import { milliseconds, printable, type Output } from "../output/output.ts";
import { type Child, exitCodeOf, signalExitCode, startChild } from "./child.ts";
import { watchGrants } from "./grants.ts";
import { inheritedLocks, lockEnvironment } from "./lock-environment.ts";
import { tellPlaces } from "./place-in-line.ts";
import { checkProgram } from "./program-file.ts";
import { passedSignals, SignalLadder, type PassedSignal } from "./signal-ladder.ts";
import { Warden, type LossPolicy } from "./warden.ts";

export interface HeldRun {
  readonly names: readonly string[];
  readonly command: readonly string[];
  readonly mode: Exclude<LockMode, "permit">;
  /** Size of the semaphore; null = a lock of that mode. */
  readonly permits: number | null;
  readonly waitMs: number;
  readonly ttlMs: number;
  readonly graceMs: number;
  readonly marginMs: number;
  readonly policy: LossPolicy;
  readonly owner: string;
}

/** A wait that is shorter is not worth telling. */
const worthTellingMs = 300;
/** How long a command's end may wait for the release to be known. */
const releasePatienceMs = 5_000;
/** How often an operator's force-release is looked for: three times in a lease, within these bounds. */
const looksPerLease = 3;
const shortestLookMs = 1_000;

/** Takes the locks, runs the command, gives them back. Ends with `Ended`, as the command did, or with CliError. */
export async function runHeld(context: Context, verb: Command, run: HeldRun): Promise<never> {
  const { output, api } = toolsOf(context, verb);
  checkProgram(run.command[0] ?? "", context.env);
  const onTerminal = [0, 1, 2].some((descriptor) => isatty(descriptor));
  const untilRun = new AbortController();
  const signals = listenForSignals((signal) => untilRun.abort(new Ended(signalExitCode(signal))));
  try {
    const connection = await connected(context, verb, run, untilRun.signal);
    try {
      const begun = performance.now();
      const lock = await acquire(connection, api, context, output, run, untilRun);
      tellGrant(output, lock, performance.now() - begun);
      return await hold(context, output, api, run, lock, { onTerminal, signals, untilRun: untilRun.signal });
    } finally {
      await connection.close();
    }
  } finally {
    signals.stop();
  }
}

interface Signals {
  /** Who is told of signals from now on. */
  handler: (signal: PassedSignal) => void;
  stop(): void;
}

function listenForSignals(handler: (signal: PassedSignal) => void): Signals {
  const signals: Signals = {
    handler,
    stop: () => {
      for (const signal of passedSignals) process.off(signal, listener);
    },
  };
  const listener = (signal: NodeJS.Signals): void => signals.handler(signal as PassedSignal);
  for (const signal of passedSignals) process.on(signal, listener);
  return signals;
}

async function connected(context: Context, verb: Command, run: HeldRun, signal: AbortSignal): Promise<TrivetConnection> {
  const connecting = connectSdk(context, verb, { sessionTtlMs: run.ttlMs });
  try {
    return await orAborted(connecting, signal);
  } catch (error) {
    // Nobody wants it any more; should it come to nothing, nobody wants to know.
    connecting.then((late) => late.close()).catch(() => undefined);
    throw error;
  }
}

/** Rejects with the signal's reason when that comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  await Promise.race([promise, aborted(signal)]);
  signal.throwIfAborted();
  return promise;
}

function aborted(signal: AbortSignal): Promise<"aborted"> {
  if (signal.aborted) return Promise.resolve("aborted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("aborted"), { once: true }));
}

async function acquire(
  connection: TrivetConnection,
  api: Api,
  context: Context,
  output: Output,
  run: HeldRun,
  untilRun: AbortController,
): Promise<Lock> {
  const { owner, waitMs, names, permits, mode } = run;
  const keys = names.map((name): KeyOptions => (permits === null ? { name, mode } : { name, mode: "permit", of: permits }));
  const granted = new AbortController();
  try {
    const session = await orAborted(connection.locks.session(), untilRun.signal);
    const waiting = {
      names,
      owner,
      session: String(session.id),
      inherited: new Set(inheritedLocks(context.env).map(({ fence }) => fence)),
      hopeless: (error: CliError) => untilRun.abort(error),
    };
    if (waitMs > 0) void tellPlaces(api, output, waiting, granted.signal);
    const lock = await connection.locks.acquireAll(keys, { owner, waitMs }, { signal: untilRun.signal });
    await untilCertain(lock, run, untilRun.signal);
    return lock;
  } catch (error) {
    throw notGranted(errorFromSdk(error), run);
  } finally {
    granted.abort();
  }
}

/** After an outage the grant may come before the word that the lease goes on: a command that is told to end at its start helps nobody. */
async function untilCertain(lock: Lock, { graceMs, marginMs, policy }: HeldRun, signal: AbortSignal): Promise<void> {
  if (policy === "continue") return;
  while (lock.session.remainingMs() <= graceMs + marginMs) {
    lock.assertHeld();
    signal.throwIfAborted();
    await pause(20);
  }
}

function notGranted(error: unknown, { waitMs }: HeldRun): unknown {
  if (!(error instanceof CliError) || error.code !== "locked") return error;
  const { code, exitCode, message, why, details } = error;
  const next =
    waitMs === 0
      ? "wait in line: without --no-wait, or with --wait SECONDS"
      : "wait longer: --wait SECONDS; trivet lock show NAME shows who holds it";
  return new CliError({ code, exitCode, what: message, why, next, details, cause: error });
}

function tellGrant(output: Output, lock: Lock, waitedMs: number): void {
  if (!output.json && waitedMs < worthTellingMs) return;
  const names = lock.keys.map(({ name }) => printable(name)).join(", ");
  output.tell(
    "lock-acquired",
    {
      locks: lock.keys.map(({ name, mode, fence }) => ({ name, mode, fence: String(fence) })),
      owner: lock.owner,
      session_id: String(lock.session.id),
      waited_ms: Math.round(waitedMs),
    },
    `Holding ${names}, fence ${lock.fence}, after ${milliseconds(waitedMs)}.`,
  );
}

interface Surroundings {
  readonly onTerminal: boolean;
  readonly signals: Signals;
  readonly untilRun: AbortSignal;
}

async function hold(context: Context, output: Output, api: Api, run: HeldRun, lock: Lock, around: Surroundings): Promise<never> {
  const { onTerminal, signals, untilRun } = around;
  const env = { ...context.env, ...lockEnvironment(lock, context.env) };
  let child: Child;
  try {
    untilRun.throwIfAborted();
    child = await startChild(run.command, env, !onTerminal);
  } catch (error) {
    await giveBack(output, lock, new AbortController().signal);
    throw error;
  }
  const ladder = new SignalLadder(onTerminal);
  signals.handler = (signal) => {
    const sent = ladder.next(signal);
    if (sent === null) return;
    output.tell("signal-passed", { came: signal, sent }, `${signal}: the command is sent ${sent}.`);
    child.signal(sent);
  };
  // It came between the two: the command is told.
  if (untilRun.aborted) child.signal("SIGTERM");
  const warden = new Warden(lock.session, run, {
    signal: (signal) => child.signal(signal),
    told: (why, isOver) => tellLoss(output, run, lock, why, isOver),
  });
  warden.begin();
  const stopWatching = watchGrants(api, lock.keys, Math.max(shortestLookMs, run.ttlMs / looksPerLease), (reason) => warden.lost(reason));
  const ending = await child.ended;
  warden.stop();
  stopWatching();
  // What it started and left behind has no lock either.
  if (warden.loss !== null && run.policy === "kill") child.signal("SIGKILL");
  const hurry = new AbortController();
  signals.handler = () => hurry.abort();
  const unseen = warden.loss === null ? await giveBack(output, lock, hurry.signal) : null;
  const loss = warden.loss ?? unseen;
  if (loss !== null && run.policy !== "continue") throw lost(lock, loss);
  if (unseen !== null) tellLoss(output, run, lock, unseen, true);
  throw new Ended(exitCodeOf(ending));
}

function tellLoss(output: Output, { policy, graceMs }: HeldRun, lock: Lock, why: string, isOver: boolean): void {
  const name = printable(lock.name);
  const what = isOver ? `Lock ${name} is lost: ${why}.` : `Lock ${name} may soon be lost: ${why}.`;
  const consequence = {
    kill: `The command is sent SIGTERM, and SIGKILL within ${milliseconds(graceMs)}.`,
    term: "The command is sent SIGTERM.",
    continue: "The command was left alone (--on-lost continue).",
  }[policy];
  output.tell(
    isOver ? "lock-lost" : "lock-in-danger",
    { name: lock.name, fence: String(lock.fence), why, on_lost: policy },
    `${what} ${consequence}`,
  );
}

/** Null = the lock was held until now. Does not wait longer than the lease lasts: after that nobody holds it. */
async function giveBack(output: Output, lock: Lock, hurry: AbortSignal): Promise<string | null> {
  const patienceMs = Math.min(releasePatienceMs, lock.session.remainingMs());
  const patience = new AbortController();
  let why = "no answer in time";
  try {
    const first = await Promise.race([
      lock.release().then(() => "released" as const),
      aborted(hurry),
      pause(patienceMs, "late" as const, { signal: patience.signal }),
    ]);
    if (first === "released") return null;
  } catch (error) {
    if (sdkCodeOf(error) === "lock_lost") return (error as Error).message;
    const failure = errorFromSdk(error);
    if (!(failure instanceof CliError)) throw failure;
    why = failure.why || failure.message;
  } finally {
    patience.abort();
  }
  const within = milliseconds(lock.session.remainingMs());
  output.tell(
    "lock-not-released",
    { name: lock.name, why },
    `The release of ${printable(lock.name)} is not confirmed (${why}); it is free within ${within} at the latest.`,
  );
  return null;
}

function lost(lock: Lock, why: string): CliError {
  return new CliError({
    code: "lock_lost",
    exitCode: exitCodes.lost,
    what: `Lock ${printable(lock.name)} was lost before the command had ended.`,
    why,
    next: "look at what the command did last: writes that carry the fence are refused once a later holder has written",
    details: { locks: lock.keys.map(({ name, fence }) => ({ name, fence: String(fence) })) },
  });
}

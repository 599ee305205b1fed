import { Prng } from "@trivet/core";
import type { Command, Result } from "@trivet/wire";
import { type Alphabet, Moves, smallAlphabet } from "../system/random.ts";
import { Bench } from "../system/support.ts";
import { Oracle } from "./oracle.ts";

/** Runs `steps` random moves against the oracle; returns how many deadlocks were broken. */
export function runAgainstOracle(seed: number, steps: number, alphabet: Alphabet = smallAlphabet): number {
  const bench = new Bench();
  const oracle = new Oracle();
  const moves = new Moves(new Prng(seed), alphabet);
  const trail: string[] = [];
  try {
    for (let i = 0; i < steps; i++) {
      const move = moves.next(bench.state);
      trail.push(JSON.stringify(move.command));
      step(bench, oracle, move.command, move.type === "expire");
    }
  } catch (error) {
    throw new Error(`seed ${seed}, step ${trail.length}: ${String(error)}\n${trail.slice(-25).join("\n")}`, { cause: error });
  }
  return oracle.deadlocks;
}

function step(bench: Bench, oracle: Oracle, command: Command, own: boolean): void {
  const before = new Set(bench.answers.keys());
  const fresh = (): Map<number, Result> =>
    new Map([...bench.answers].filter(([key]) => !before.has(key)).map(([key, result]) => [Number(key.slice(2)), result]));
  if (!own) {
    const request = bench.send(command);
    oracle.step(command, request, { answers: fresh() });
  } else if (command.type === "expire") {
    const wait = command.kind === "wait" ? bench.state.lockState.waits.get(command.id) : undefined;
    const delay = command.kind === "lock-delay" ? bench.state.lockState.delays.get(command.id) : undefined;
    bench.propose(command);
    oracle.begin({ answers: fresh() });
    if (command.kind === "session") oracle.endSession(command.id, true);
    else if (command.kind === "grant") oracle.expireGrant(command.id);
    else if (wait !== undefined) oracle.expireWait(wait.sequence);
    else if (delay !== undefined) oracle.expireDelay(delay.lock.name, delay.mode);
    oracle.end();
  }
  compareStates(bench, oracle);
}

function compareStates(bench: Bench, oracle: Oracle): void {
  const names = new Set([...oracle.holds, ...oracle.delays, ...oracle.waits.flatMap((wait) => wait.tickets)].map((each) => each.name));
  if (names.size !== bench.state.lockCount()) throw new Error(`${bench.state.lockCount()} names in use, expected ${names.size}`);
  for (const name of names) {
    const view = bench.state.lock(name);
    const holders = view.holders.map(({ owner, mode, fence, depth }) => ({ owner, mode, fence, depth }));
    const expected = oracle.holds
      .filter((hold) => hold.name === name)
      .sort((a, b) => a.fence - b.fence)
      .map(({ owner, mode, fence, depth }) => ({ owner, mode, fence, depth }));
    if (JSON.stringify(holders) !== JSON.stringify(expected))
      throw new Error(`${name}: ${JSON.stringify(holders)}, expected ${JSON.stringify(expected)}`);
    const line = view.waiters.map((wait) => wait.sequence).join();
    const wanted = oracle
      .queue(name)
      .map((wait) => wait.request)
      .join();
    if (line !== wanted) throw new Error(`${name}: line ${line}, expected ${wanted}`);
  }
  const running = bench.timers.running.size;
  const { state } = bench;
  const needed = state.timerCount("session") + state.timerCount("grant") + state.timerCount("wait") + state.timerCount("lock-delay");
  if (running !== needed) throw new Error(`${running} timers run, ${needed} are needed`);
}

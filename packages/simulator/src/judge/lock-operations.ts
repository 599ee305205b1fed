import type { Result } from "@trivet/wire";

import type { Operation } from "../checkers/history.ts";
import type { LockInput, LockOutput } from "../checkers/models/lock.ts";
import type { LockHistory, LockOperation } from "../clients/lock-history.ts";
import { type GoldenLog, requestKey } from "../watch/golden-log.ts";
import type { LockChronicle } from "./lock-chronicle.ts";

type LockCall = Operation<LockInput, LockOutput>;

/**
 * The history as the linearizability search wants it, per name: client operations with the intervals their clients saw, unknown outcomes
 * resolved from the log by request id, and what the log ended by itself as operations of no duration.
 */
export function lockOperations(golden: GoldenLog, history: LockHistory, chronicle: LockChronicle): LockCall[] {
  const calls: LockCall[] = [];
  for (const operation of history.operations) {
    const logged = operation.caller === null ? undefined : golden.answers.get(requestKey(operation.caller, operation.sequence));
    // Not in the log: it never took effect, and a wait that is still in line has none either.
    if (logged !== undefined && logged.result.type !== "refused") calls.push(...split(operation, logged.result));
  }
  for (const hold of chronicle.holds) {
    const { cause, endAt, name, fence } = hold;
    if (endAt === null || cause === "released" || cause === "upgraded") continue;
    calls.push({
      id: `end(${name}, ${fence}, ${cause})`,
      input: { type: "end", name, fence },
      output: { type: "released", remaining: 0 },
      call: endAt,
      ret: endAt,
    });
  }
  // Housekeeping of nodes releases too.
  for (const [key, { command, at }] of golden.commands) {
    if (
      command?.type !== "release-set" ||
      history.operations.some(({ caller, sequence }) => caller !== null && requestKey(caller, sequence) === key)
    )
      continue;
    if (golden.answers.get(key)?.result.type !== "released") continue;
    for (const { name, fence } of command.locks) {
      calls.push({
        id: `give-back(${name}, ${fence})`,
        input: { type: "end", name, fence },
        output: { type: "released", remaining: 0 },
        call: at,
        ret: at,
      });
    }
  }
  return calls;
}

/** One command touches one or several names; each is an operation of its own in its name's history. */
function split(operation: LockOperation, result: Result): readonly LockCall[] {
  const { command, id, call, ret } = operation;
  const on = (name: string, input: LockInput, output: LockOutput): LockCall => ({ id: `${id}(${name})`, input, output, call, ret });
  switch (command.type) {
    case "acquire": {
      if (result.type !== "granted") return [];
      const { session, owner } = command.actor;
      return command.keys.map(({ name, mode, of }, i) => {
        const fence = i === 0 ? result.fence : (result.more.find((more) => more.name === name)?.fence ?? result.fence);
        const input: LockInput = { type: "acquire", name, owner, session, mode, of, reentrant: command.reentrant };
        return on(name, input, { type: "granted", fence, depth: result.depth });
      });
    }
    case "release":
      if (result.type === "released") return [on(command.name, { type: "release", name: command.name, fence: result.fence }, result)];
      if (command.fence === 0 || (result.type !== "not-held" && result.type !== "stale-fence")) return [];
      return [on(command.name, { type: "release", name: command.name, fence: command.fence }, { type: "not-held" })];
    case "release-set":
      if (result.type !== "released") return [];
      return command.locks.map(({ name, fence }) => on(name, { type: "release", name, fence }, { type: "released", remaining: 0 }));
    case "upgrade":
    case "downgrade": {
      if (result.type !== "granted") return [];
      const { name, fence, mode } = command;
      return [on(name, { type: "convert", name, fence, mode }, { type: "granted", fence: result.fence, depth: result.depth })];
    }
    default:
      return [];
  }
}

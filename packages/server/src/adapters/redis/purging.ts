import { callerFields, type Request, requestOf } from "./requests.ts";
import type { StorageOptions } from "@trivet/engine";
import { limits, type PurgeQueue } from "@trivet/wire";
import { Silence } from "./link.ts";
import type { Reply } from "./replies.ts";

/**
 * In as many steps as it takes, for each looks at no more than so many messages: those that are leased stay, and may be many. A step has a name of its
 * own, so that a repeat goes the same way (rule X1). The reply of the last one, and what all counted.
 */
export async function purge(
  run: (request: Request) => Promise<Reply>,
  command: PurgeQueue,
  options: StorageOptions,
): Promise<{ readonly reply: Reply; readonly count: number }> {
  const { bytes, fields } = requestOf(command);
  let after: readonly [number, number] = [0, 0];
  for (let step = 0, count = 0; ; step++) {
    const reply = await run({ bytes, fields: { ...fields, after, ...callerFields(ofStep(options, step)) } }).catch((error: unknown) => {
      // "Nothing happened" is no longer true: steps before this one have removed what they counted.
      throw step > 0 ? new Silence(`after ${count} were removed: ${error instanceof Error ? error.message : String(error)}`) : error;
    });
    if (reply.type !== "counted") return { reply, count };
    count += reply.answer.number(1);
    // An answer that a version before has kept says nothing of a rest.
    const [lane, place] = reply.answer.length > 2 ? reply.answer.numbers(2) : [];
    if (lane === undefined || place === undefined || count >= limits.maxMessagesPerCommand) return { reply, count };
    after = [lane, place];
  }
}

function ofStep(options: StorageOptions, step: number): StorageOptions {
  const { idempotency } = options;
  if (idempotency === undefined || step === 0) return options;
  return { ...options, idempotency: { ...idempotency, key: `${idempotency.key}+${step}` } };
}

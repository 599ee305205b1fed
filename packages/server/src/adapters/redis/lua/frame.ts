import { base } from "./base.ts";
import { messages } from "./messages.ts";
import { sweep } from "./sweep.ts";

/** Of a partition that belongs to a newer queue of the same name, or to none any more. */
const refuse = `if M.queue > D.queue or (M.queue == D.queue and M.gone == 1) then return {-1, {'not-configured'}} end`;

/**
 * A script that changes something: `body` defines \`run\`, which answers. The answer is kept under the caller's idempotency key for a while and
 * given again (rule X1); \`keep\` and \`revive\` turn it into what is kept, and back.
 */
export function changing(body: string, outOfMemory: "refuse" | "allow" = "allow"): string {
  return `#!lua${outOfMemory === "allow" ? " flags=allow-oom" : ""}
${base}
${refuse}
if M.queue < D.queue then
  -- What a dropped queue of the same name left behind.
  if M.queue > 0 then call('UNLINK', unpack(KEYS)) end
  for _, name in ipairs(COUNTERS) do M[name], before[name] = 0, 0 end
  M.queue, M.next, M.nextGroup, M.tokensAt, M.history = D.queue, 1, 1, now, false
end
-- Named before anything is put into it: what a fail-over loses of a partition that had only been looked after was of the history of its first server.
if not M.history then meetHistory() end
${messages}
${sweep}
local keep = function(answer) return answer end
local revive = keep
${body}
sweep()
local kept = C.caller and call('HGET', ONCE, 'c|' .. C.caller)
local answer
if kept then
  local known = cmsgpack.unpack(kept)
  answer = known.print == C.fingerprint and revive(known.answer) or {'refused', 'other-body'}
else
  answer = run()
  if C.caller then
    call('HSET', ONCE, 'c|' .. C.caller, cmsgpack.pack({print = C.fingerprint, answer = keep(answer)}))
    call('ZADD', WINDOWS, int(now + C.keepMs), 'c|' .. C.caller)
  end
end
store()
return {dueIn(), answer}
`;
}

/** A script that only looks. */
export function looking(body: string): string {
  return `#!lua flags=no-writes
${base}
if M.queue ~= D.queue or M.gone == 1 then return {-1, {'nothing'}} end
${messages}
${body}
return {-1, run()}
`;
}

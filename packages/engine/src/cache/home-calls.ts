import { type GroupId, groupId } from "@trivet/core";
import { decodeBase64, encodeBase64 } from "../base/base64.ts";
import type { NodeHost } from "../node/node-host.ts";
import type { HomeHost } from "./home-host.ts";
import { askAgainMs, retryMs } from "./limits.ts";
import type { LoadQuestion, LoadReply } from "./origin-loads.ts";

/** What a node asks of the home of a shard, beside what holders say; in JSON, as it is rare. */
export type HomeQuestion =
  | { readonly type: "invalidate"; readonly namespace: number; readonly tag: string | null; readonly frame: string }
  | { readonly type: "drop"; readonly line: string }
  | LoadQuestion;
/** Null = it is none, or not to the end: ask again. */
export type HomeReply = { readonly type: "answered"; readonly answer: string } | { readonly type: "dropped" } | LoadReply | null;

export const askHomeMethod = "cache-home";

/** Asks whoever leads the shard, one hop away at most, until somebody answers or the time is up. `wasAsked`: somebody may have heard it. */
export function askHome(
  host: NodeHost,
  group: GroupId,
  question: HomeQuestion,
  deadline: number,
  done: (reply: HomeReply, wasAsked: boolean) => void,
): void {
  const { clock } = host.ports;
  let wasAsked = false;
  const told = (reply: HomeReply): void => {
    if (reply !== null || clock.now() + retryMs >= deadline || host.isStopped) done(reply, wasAsked);
    else clock.schedule(retryMs, attempt);
  };
  const attempt = (): void => {
    const leader = host.shards?.entry(group)?.leader() ?? null;
    if (leader === null) return told(null);
    wasAsked = true;
    if (leader === host.config.node) return answerInTime(host, group, question, deadline, told);
    const whole = Math.max(1, deadline - clock.now());
    // A home that says nothing may be none any more. Whoever asks twice for a load waits for the one there is; but not for a fresh one, which would begin anew.
    const mayRepeat = question.type === "load" && question.isFresh !== true;
    const left = mayRepeat ? Math.min(askAgainMs, whole) : whole;
    return host.calls.call(leader, askHomeMethod, { group, question }, (reply) => told(reply as HomeReply), left);
  };
  attempt();
}

/** A home may be unable to answer, and a call has its time all the same: who asks another node has it from the call. */
function answerInTime(host: NodeHost, group: GroupId, question: HomeQuestion, deadline: number, done: (reply: HomeReply) => void): void {
  const { clock } = host.ports;
  let isTold = false;
  const tell = (reply: HomeReply): void => {
    if (isTold) return;
    isTold = true;
    timer.cancel();
    done(reply);
  };
  const timer = clock.schedule(Math.max(1, deadline - clock.now()), () => tell(null));
  answerHere(host, group, question, tell);
}

export function onAskHome(host: NodeHost, body: unknown, answer: (reply: unknown) => void): void {
  const { group, question } = body as { readonly group: number; readonly question: HomeQuestion };
  answerHere(host, groupId(group), question, answer);
}

function answerHere(host: NodeHost, group: GroupId, question: HomeQuestion, done: (reply: HomeReply) => void): void {
  const home: HomeHost | undefined = host.shards?.replica(group)?.home;
  home?.wake();
  if (home === undefined || !home.isHome) return host.ports.clock.defer(() => done(null));
  if (question.type === "drop") return home.dropCopies(question.line, (answer) => done(answer === null ? null : { type: "dropped" }));
  if (question.type === "load") return host.cache.loads.load(group, question, done);
  const frame = decodeBase64(question.frame);
  if (frame === null) return host.ports.clock.defer(() => done(null));
  return home.invalidate(question.namespace, question.tag, frame, (answer) =>
    done(answer === null || answer.outcome === null ? null : { type: "answered", answer: encodeBase64(answer.outcome.answer) }),
  );
}

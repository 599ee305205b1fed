import { exitCodes } from "@trivet/contract";
import { setTimeout as pause } from "node:timers/promises";
import type { MemberAnswer, MembersAnswer, RaftStatusAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";
import { CliError, usageError } from "../output/errors.ts";
import type { Output } from "../output/output.ts";
import { progressLine } from "../output/progress.ts";

/** Group 0 has no more voters (rule G3): there a new node follows as a learner until the old one has left. */
const mostVoters = 5;
/** So far behind the leader a node may be that takes another one's place. */
const caughtUpEntries = 1_000;
const askEveryMs = 500;
/** A change of membership is answered after about a minute at the latest; what is not done by then goes on. */
const stillGoingOn = /not committed in time|lost leadership during the change/;

export interface Replacement {
  readonly old: string;
  readonly next: string;
  /** Where the new node is reached, when it has not joined by itself. */
  readonly url: string | undefined;
  /** How long the new node may take to catch up, and the old one's shards to move. */
  readonly limitMs: number;
}

interface RingAnswer {
  readonly shards: readonly {
    readonly shard: number;
    readonly replicas: readonly string[];
    readonly waiting: { readonly why: string } | null;
  }[];
}

/**
 * One node takes the place of another: a learner first, a voter once it has caught up, and only then the old one's shards move and it is
 * removed. At no moment do fewer nodes than before hold what was acknowledged. Can be repeated at any point: it goes on where it stands.
 */
export async function replaceBy(api: Api, output: Output, wanted: Replacement, signal: AbortSignal): Promise<MembersAnswer> {
  const begun = await members(api);
  checkNames(begun, wanted);
  checkQuorum(begun, wanted);
  const line = progressLine(output);
  const watch = { api, line, signal, deadline: performance.now() + wanted.limitMs };
  try {
    await letIn(begun, wanted, watch);
    await untilCaughtUp(wanted, watch);
    return await letGo(wanted, watch);
  } finally {
    line.end();
  }
}

interface Watch {
  readonly api: Api;
  readonly line: ReturnType<typeof progressLine>;
  readonly signal: AbortSignal;
  readonly deadline: number;
}

const members = async (api: Api): Promise<MembersAnswer> => (await api.call("GET", "/v1/raft/members")) as MembersAnswer;
const isUp = ({ connected, leader, self }: MemberAnswer): boolean => connected === true || self || leader;
const found = (answer: MembersAnswer, node: string): MemberAnswer | undefined => answer.members.find((member) => member.node === node);

function checkNames(answer: MembersAnswer, { next, old, url }: Replacement): void {
  if (next === old)
    throw usageError("A node does not replace itself by another.", `trivet member replace ${old} (for the same node with an empty disk)`);
  const isKnown = found(answer, old) !== undefined;
  if (!isKnown && found(answer, next) === undefined) throw usageError(`${old} is not a member.`, "trivet member list");
  if (found(answer, next) === undefined && url === undefined) {
    throw usageError(
      `${next} is not a member yet, and its address is not known.`,
      `start it with --join URL, or repeat with --address http://HOST:PORT`,
    );
  }
}

/** With the new node instead of the old one a majority must be up; else what is there is worth more than what would be. */
function checkQuorum(answer: MembersAnswer, { next, old }: Replacement): void {
  const voters = answer.members.filter(({ kind }) => kind === "voter");
  const kept = voters.filter(({ node }) => node !== old && node !== next);
  // One that is new may still be starting, and is waited for; one that votes already and is down is no place to go.
  const takesOver = voters.filter(({ node }) => node === next);
  const after = kept.length + 1;
  const needed = Math.floor(after / 2) + 1;
  const missing = [...kept, ...takesOver].filter((member) => !isUp(member)).map(({ node }) => node);
  const up = after - missing.length;
  if (up >= needed && answer.leader !== null) return;
  throw new CliError({
    code: "membership_refused",
    exitCode: exitCodes.conflict,
    what: `${old} was not replaced: the quorum would be lost.`,
    why: `${up} of ${after} voters would be up, and ${needed} are needed; missing: ${missing.join(", ") || "a leader"}.`,
    next: `start ${missing.join(", ") || "the other nodes"}, then repeat the command`,
  });
}

async function letIn(answer: MembersAnswer, { next, url }: Replacement, { api, line }: Watch): Promise<void> {
  const known = found(answer, next);
  const address = url ?? known?.url ?? null;
  if (known?.kind === "voter" || address === null) return;
  line.tell(`letting ${next} in as a learner`);
  await api.call("POST", "/v1/raft/members", { node: next, url: address, voter: true });
}

async function untilCaughtUp({ next }: Replacement, watch: Watch): Promise<void> {
  for (;;) {
    const answer = await members(watch.api);
    const member = found(answer, next);
    if (member?.kind === "voter" && isUp(member)) return;
    const lag = await lagOf(watch.api, answer, next);
    const isFull = answer.members.filter(({ kind }) => kind === "voter").length >= mostVoters;
    if (isFull && lag !== null && lag <= caughtUpEntries) return;
    const text = lag === null ? "is not connected yet" : `is a ${member?.kind ?? "stranger"}, ${lag} entries behind the leader`;
    await goOn(watch, `${next} ${text}`, `start ${next} with an empty DATA_DIR and --join URL; nothing was taken from the old node`);
  }
}

/** As the leader sees it; null = it does not. */
async function lagOf(api: Api, { leader, members: all }: MembersAnswer, node: string): Promise<number | null> {
  const url = all.find((member) => member.node === leader)?.url;
  const urls = [...(url === null || url === undefined ? [] : [url]), ...api.urls];
  for (const candidate of urls) {
    const answer = await api.ask(candidate, "/v1/raft/status");
    if ("problem" in answer || answer.status !== 200) continue;
    const status = answer.body as RaftStatusAnswer;
    if (status.role !== "leader") continue;
    const peer = status.peers.find((one) => one.node === node);
    return peer?.connected === true ? peer.lag : null;
  }
  return null;
}

/** The leader empties it of shards first, and refuses where the rest would have no quorum (rule G4). */
async function letGo({ next, old }: Replacement, watch: Watch): Promise<MembersAnswer> {
  for (;;) {
    const answer = await members(watch.api);
    if (found(answer, old) === undefined) return answer;
    await tellShards(old, watch);
    try {
      await watch.api.call("DELETE", `/v1/raft/members/${encodeURIComponent(old)}`);
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      // Whatever became of the call: the next look at the members tells.
      const isOpen = error.exitCode === exitCodes.unknownOutcome || error.code === "member_not_found" || stillGoingOn.test(error.why);
      if (!isOpen) throw error;
      await goOn(
        watch,
        `${old} still has shards, or its removal is not committed`,
        `${next} has what it needs; repeat the command to go on`,
      );
    }
  }
}

async function tellShards(old: string, { api, line }: Watch): Promise<void> {
  const { shards } = (await api.call("GET", "/v1/ring")) as RingAnswer;
  const left = shards.filter(({ replicas }) => replicas.includes(old));
  const waiting = shards.find((shard) => shard.waiting !== null)?.waiting?.why;
  line.tell(
    `removing ${old}: ${left.length} of ${shards.length} shards are to move away${waiting === undefined ? "" : `; one waits: ${waiting}`}`,
  );
}

async function goOn({ deadline, line, signal }: Watch, state: string, next: string): Promise<void> {
  line.tell(state);
  if (performance.now() > deadline || signal.aborted) {
    throw new CliError({ code: "not_ready", exitCode: exitCodes.tryAgain, what: `Not done yet: ${state}.`, next });
  }
  await pause(askEveryMs, undefined, { signal }).catch(() => undefined);
}

import type { GroupAnswer, MemberAnswer, RaftStatusAnswer, RingAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";

/** All members at one moment, each asked for itself. */
export interface Sight {
  readonly members: readonly MemberAnswer[];
  /** What is missing until the cluster is whole; empty = nothing. */
  readonly problems: readonly string[];
  /** Why a node cannot go without something standing still, whole or not; null = one can. */
  readonly tooFew: string | null;
  /** Who leads group 0. */
  readonly leader: string | null;
}

/** Where a member is asked; null = its address is not known. */
export type AddressOf = (member: MemberAnswer) => string | null;

/**
 * Whether a cluster is whole: every member answers and runs, every group has one leader that all its replicas name, every shard is where the map wants
 * it and led by whom the map wants, and every replica has applied what its leader had committed when this watch first saw it. That last bound is fixed:
 * under load a healthy follower is always some entries behind, and would never be level.
 */
export class Wholeness {
  private readonly api: Api;
  private readonly addressOf: AddressOf;
  /** By group: what its replicas must have applied. */
  private readonly goals = new Map<number, bigint>();

  constructor(api: Api, addressOf: AddressOf) {
    this.api = api;
    this.addressOf = addressOf;
  }

  async look(): Promise<Sight> {
    const first = await this.anyone();
    if (typeof first === "string") return { members: [], problems: [first], tooFew: null, leader: null };
    const { members } = first;
    const problems: string[] = [];
    const views: RaftStatusAnswer[] = [];
    let ring: RingAnswer | string = "nobody was asked where the shards are";
    for (const [member, view] of await Promise.all(members.map(async (one) => [one, await this.ask(one)] as const))) {
      if (typeof view === "string") {
        problems.push(`${member.node} does not answer: ${view}`);
        continue;
      }
      views.push(view);
      if (view.phase !== "running")
        problems.push(`${member.node} is ${view.phase}${view.phase_detail === "" ? "" : `: ${view.phase_detail}`}`);
      if (typeof ring === "string") ring = await this.ring(member);
    }
    this.groupProblems(views, problems);
    if (typeof ring === "string") problems.push(ring);
    else shardProblems(ring, views, problems);
    const leader = views.find((view) => view.role === "leader")?.node_id ?? null;
    return { members, problems, tooFew: tooFew(members, typeof ring === "string" ? null : ring), leader };
  }

  private groupProblems(views: readonly RaftStatusAnswer[], problems: string[]): void {
    const replicas = new Map<number, { readonly node: string; readonly state: GroupAnswer }[]>();
    for (const { groups, node_id: node } of views) {
      for (const state of groups) replicas.set(state.group, [...(replicas.get(state.group) ?? []), { node, state }]);
    }
    for (const [group, all] of [...replicas].sort(([a], [b]) => a - b)) {
      const leading = all.filter(({ state }) => state.role === "leader").sort((a, b) => b.state.term - a.state.term)[0];
      if (leading === undefined) {
        problems.push(`${nameOf(group)} has no leader`);
        continue;
      }
      const goal = this.goals.get(group) ?? BigInt(leading.state.commit_index);
      this.goals.set(group, goal);
      for (const { node, state } of all) {
        if (state.leader !== leading.node) problems.push(`${node} does not follow ${leading.node}, the leader of ${nameOf(group)}`);
        else if (BigInt(state.applied_index) < goal)
          problems.push(`${node} is ${goal - BigInt(state.applied_index)} entries behind in ${nameOf(group)}`);
      }
    }
  }

  /** The view of whichever node answers first. */
  private async anyone(): Promise<RaftStatusAnswer | string> {
    const silent: string[] = [];
    for (const url of this.api.urls) {
      const answer = await this.api.ask(url, "/v1/raft/status");
      if (!("problem" in answer) && answer.status === 200) return answer.body as RaftStatusAnswer;
      silent.push(`${url}: ${"problem" in answer ? answer.problem : `answered ${answer.status}`}`);
    }
    return `no node answers (${silent.join("; ")})`;
  }

  private async ask(member: MemberAnswer): Promise<RaftStatusAnswer | string> {
    const address = this.addressOf(member);
    if (address === null) return "its address is not known; name it with --at";
    const answer = await this.api.ask(address, "/v1/raft/status");
    if ("problem" in answer) return `${answer.problem} (${address})`;
    if (answer.status !== 200) return `it answered ${answer.status} (${address})`;
    const view = answer.body as RaftStatusAnswer;
    return view.node_id === member.node ? view : `${address} is ${view.node_id}; say where it is with --at`;
  }

  private async ring(member: MemberAnswer): Promise<RingAnswer | string> {
    const address = this.addressOf(member);
    const answer = address === null ? { problem: "its address is not known" } : await this.api.ask(address, "/v1/ring");
    if ("problem" in answer) return `${member.node} does not say where the shards are: ${answer.problem}`;
    return answer.status === 200 ? (answer.body as RingAnswer) : `${member.node} does not say where the shards are: ${answer.status}`;
  }
}

function shardProblems(ring: RingAnswer, views: readonly RaftStatusAnswer[], problems: string[]): void {
  if (ring.backend === "embedded" && ring.shards.length === 0) problems.push("the shards are not placed yet");
  for (const { leader, replicas, shard, waiting } of ring.shards) {
    if (waiting !== null) problems.push(`shard ${shard} waits: ${waiting.why}`);
    for (const { groups, node_id: node } of views) {
      const held = groups.find(({ group }) => group === shard);
      if (held === undefined && replicas.includes(node)) problems.push(`${node} does not have shard ${shard} yet`);
      // Else the node that is stopped next might lead what the map gave to another, and hand it over twice.
      if (node === leader && held !== undefined && held.role !== "leader") problems.push(`shard ${shard} is not led by ${node} again yet`);
    }
  }
}

function tooFew(members: readonly MemberAnswer[], ring: RingAnswer | null): string | null {
  const voters = members.filter(({ kind }) => kind === "voter");
  if (voters.length < 3) return `${voters.length} of its nodes vote, and without one of them there is no majority`;
  const bare = ring?.shards.find(({ replicas }) => replicas.length < 3);
  if (bare === undefined) return null;
  return `shard ${bare.shard} has ${bare.replicas.length} replicas (${bare.replicas.join(", ")}), and without one of them no majority`;
}

const nameOf = (group: number): string => (group === 0 ? "group 0" : `shard ${group}`);

import { describe, expect, test } from "vitest";
import { conformanceDataPresent, directivesOf, type Directive } from "./data.ts";
import { InteractionScript } from "./interaction.ts";

/*
 * etcd's interaction scripts that are about the protocol, replayed as commands; its `raft-log`, `status` and `raft-state` directives are
 * compared in normalised form where they occur, and every script ends in the state named here.
 *
 * Deviations:
 * - Trivet always has PreVote, CheckQuorum and stickiness. Scripts for etcd without them force their elections as a transfer does; in those
 *   with CheckQuorum only, a refused candidate keeps its term (in etcd it raises it), so terms are not compared in `raft-state`.
 * - A configuration is in force when appended, so a removed leader is a non-voter earlier; it steps down by itself at commit, and tells a
 *   successor (etcd's scripts `*_stepdown` only step down).
 * - Explicit joint phases do not exist: every joint phase leaves by itself, and one voter more or less needs none. Scripts that leave
 *   explicitly end in the same configuration; confchange_v2_add_single_explicit is about the phase itself and is left out.
 * - A change is refused until the leader has committed an entry of its term; the runner lets that happen first.
 * - `lagging_commit`: the commit index travels uncut in heartbeats, so the follower learns it half a round trip earlier (etcd-io/raft#138).
 * - `snapshot_*_behind` sends a snapshot by hand, which does not exist here: snapshot-replies.test.ts has its point.
 * - Not portable: forget_leader*, confchange_disable_validation (etcd's API), async_storage_writes (its threads; the ABA race is in
 *   durability.test.ts).
 */

interface Expectation {
  readonly file: string;
  /** Directives whose expected output is compared. */
  readonly compare: readonly ("raft-log" | "status" | "raft-state")[];
  /** Role, voter or not, and leader of every node once all is settled. */
  readonly end: readonly string[];
  /** Committed by `members` once all is settled. */
  readonly commit: number;
  /** Voters in the end, as `members` see them. */
  readonly voters: string;
  /** Nodes that are members in the end. */
  readonly members: string;
}

const portable: readonly Expectation[] = [
  { file: "probe_and_replicate.txt", compare: ["raft-log", "status"], ...led("1", "1234567"), commit: 21 },
  { file: "campaign.txt", compare: [], ...led("1", "123"), commit: 3 },
  { file: "single_node.txt", compare: [], ...led("1", "1"), commit: 4 },
  { file: "campaign_learner_must_vote.txt", compare: [], ...led("2", "123"), commit: 5 },
  // Stickiness: the last candidate is refused although its log is good enough.
  {
    file: "prevote.txt",
    compare: ["raft-log"],
    ...led("1", "123"),
    end: ["1: leader voter 1", "2: follower voter 0", "3: follower voter 1"],
    commit: 12,
  },
  { file: "checkquorum.txt", compare: [], ...led("2", "123"), commit: 12 },
  { file: "prevote_checkquorum.txt", compare: [], ...led("2", "123"), commit: 13 },
  { file: "snapshot_succeed_via_app_resp.txt", compare: ["status"], ...led("1", "123"), commit: 11 },
  { file: "slow_follower_after_compaction.txt", compare: ["status"], ...led("1", "123"), commit: 18 },
  { file: "heartbeat_resp_recovers_from_probing.txt", compare: ["status"], ...led("1", "123"), commit: 11 },
  { file: "replicate_pause.txt", compare: ["status"], ...led("1", "123"), commit: 17 },
  { file: "lagging_commit.txt", compare: ["status"], ...led("1", "123"), commit: 13 },
  { file: "confchange_v1_add_single.txt", compare: [], ...led("1", "12"), commit: 4 },
  { file: "confchange_v2_add_single_auto.txt", compare: [], ...led("1", "12"), commit: 4 },
  { file: "confchange_v2_add_double_implicit.txt", compare: [], ...led("1", "12"), commit: 4 },
  { file: "confchange_v2_add_double_auto.txt", compare: [], ...led("1", "1"), end: [], commit: 9 },
  { file: "confchange_v1_remove_leader.txt", compare: [], ...led("2", "23"), end: [], commit: 7 },
  { file: "confchange_v1_remove_leader_stepdown.txt", compare: [], ...led("2", "23"), end: [], commit: 7 },
  { file: "confchange_v2_replace_leader.txt", compare: [], ...led("2", "234"), end: [], commit: 6 },
  { file: "confchange_v2_replace_leader_stepdown.txt", compare: [], ...led("2", "234"), end: [], commit: 6 },
];

function led(leader: string, nodes: string): Pick<Expectation, "end" | "voters" | "members"> {
  const end = nodes.split("").map((id) => `${id}: ${id === leader ? "leader" : "follower"} voter ${leader}`);
  return { end, voters: nodes.split("").join(), members: nodes };
}

/** etcd's lines in our words. */
function normalise(kind: string, line: string): string {
  if (kind === "raft-log") {
    const [, at, type, data] = /^(\d+\/\d+) (\w+) ?(.*)$/.exec(line) ?? [];
    if (type === "EntryNormal") return `${at} ${data === '""' ? "noop" : (data ?? "").replaceAll('"', "")}`;
    return `${at} config`;
  }
  if (kind === "status") {
    const [, id, state, match] = /^(\d+): State(\w+) match=(\d+)/.exec(line) ?? [];
    return `${id}: ${state?.toLowerCase()} ${match}`;
  }
  const [, id, state, voter, leader] = /^(\d+): State(\w+) \(([\w-]+)\) Term:\d+ Lead:(\d+)/.exec(line) ?? [];
  return `${id}: ${state?.toLowerCase()} ${voter?.toLowerCase()} ${leader}`;
}

function shown(script: InteractionScript, kind: string, id: string): string[] {
  if (kind === "raft-log") return script.raftLog(id);
  return kind === "status" ? script.status(id) : script.raftState();
}

function replay(expectation: Expectation): InteractionScript {
  const [first, ...rest] = directivesOf("interaction", expectation.file).filter((d) => !d.command.startsWith("log-level"));
  const script = new InteractionScript(first as Directive);
  for (const directive of rest) {
    const [kind = "", id = ""] = directive.command.split(" ");
    script.run(directive);
    if (!expectation.compare.some((name) => name === kind)) continue;
    const where = `${directive.file}:${directive.line}`;
    const expected = directive.expected.some((line) => line.startsWith("log is empty")) ? [] : directive.expected;
    expect(shown(script, kind, id), where).toEqual(expected.map((line) => normalise(kind, line)));
  }
  return script;
}

describe.skipIf(!conformanceDataPresent)("etcd's interaction scripts", () => {
  for (const expectation of portable) {
    test(expectation.file, () => {
      const script = replay(expectation);
      // Some scripts end with messages under way.
      script.settle();
      if (expectation.end.length > 0) expect(script.raftState()).toEqual(expectation.end);
      for (const id of expectation.members) {
        expect(script.c.group(id).commitIndex, id).toBe(expectation.commit);
        expect(script.c.group(id).membership.voters.join(), id).toBe(expectation.voters);
      }
      script.c.checkAgreement();
    });
  }
});

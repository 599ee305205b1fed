import { type Entry, levelRaisedBy, logIndex, type NodeId, nodeId, type RaftRestored } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import {
  type Command,
  featureLevels,
  levelBeforeLevels,
  levelOfCommand,
  newestLevel,
  type ShardCommand,
  shardCommandNumbers,
  unknownLevel,
} from "@trivet/wire";
import type { Unavailable } from "../ports/calls.ts";
import type { PeerHello, PeerRefusal } from "../peers/peer-frames.ts";
import type { NodeHost } from "../node/node-host.ts";

const retryAfterMs = 1_000;

/** No fault: whoever started the node put the wrong version there. */
export class OlderVersion extends Error {
  constructor(text: string) {
    super(text);
    this.name = "OlderVersion";
  }
}

/**
 * Which commands this node may put into a log (docs/decisions/0022-feature-levels.md). The level of the cluster is in group 0's log and only rises; from the
 * moment it is committed every member knows what it stands for, and nobody who does not is let in. So whoever has applied a level may propose its commands to any group.
 */
export class FeatureLevels {
  private readonly host: NodeHost;
  /** The level that links were judged by last. */
  private judgedBy: number | null = null;

  constructor(host: NodeHost) {
    this.host = host;
    host.sink.watch((event) => {
      if (event.type === "level-raised") this.stopWhereOlder();
    });
  }

  /** What this node knows, and says in the handshake. */
  get own(): number {
    return Math.min(this.host.config.featureLevel, newestLevel);
  }

  /** Null = not known here yet: no state, or a cluster whose first leader has not written its members down. */
  get cluster(): number | null {
    const { machine } = this.host;
    if (machine === null) return null;
    return machine.features.told ?? (machine.registry.nodes.size === 0 ? null : levelBeforeLevels);
  }

  /** May a command of this level go into a log here? */
  admits(level: number): boolean {
    return level <= (this.cluster ?? featureLevels.base) || mutant("host-level-not-asked");
  }

  /** The same of a leader's own proposals to a shard. */
  admitAll(commands: readonly ShardCommand[]): boolean {
    return commands.every(({ type }) => this.admits(levelOfCommand(shardCommandNumbers[type])));
  }

  /** Told to a caller whose command is newer than the cluster; null = it may go. While the level is not known yet, the leader decides. */
  refusal(level: number): Unavailable | null {
    const { cluster } = this;
    if (this.admits(level) || (cluster === null && level !== unknownLevel)) return null;
    const detail =
      level === unknownLevel
        ? `${this.host.config.node} does not know this command: it is of a newer version`
        : `it needs feature level ${level}, and the cluster is at ${cluster ?? featureLevels.base}${this.behind(level)}`;
    return { type: "unavailable", code: "feature_level", retryAfterMs, detail };
  }

  /** Rule G2: who does not know what is in the logs must not apply them. */
  judge(hello: PeerHello): PeerRefusal | null {
    const { cluster } = this;
    const level = hello.level ?? levelBeforeLevels;
    if (cluster === null || level >= cluster || mutant("host-level-any-peer")) return null;
    return { code: "level", detail: `${hello.node} knows ${this.below(level, cluster)}` };
  }

  /**
   * After applies, and before anything else is sent: whoever has applied a level may propose its commands, so by then nobody is linked who does not know
   * it. A link is judged when it is made, and lives on.
   */
  applied(): void {
    const { cluster } = this;
    if (cluster === this.judgedBy) return;
    this.judgedBy = cluster;
    if (!mutant("host-level-links-kept")) this.host.hub.judgeAgain((hello) => this.judge(hello));
  }

  /** Another state took the place of group 0's. False = it says more than this node knows, which stops. */
  installed(): boolean {
    if (!mutant("host-level-install-unasked") && this.stopWhereOlder()) return false;
    this.applied();
    return true;
  }

  /**
   * Why this node is not taken in. A level that is on its way counts: it was proposed without asking the one who comes. Null = it is welcome, or was
   * not heard yet, and then its links are judged.
   *
   * @param said What it told whoever passes its wish on; null = nobody has heard it.
   */
  newcomerProblem(node: string, said: number | null): string | null {
    const hello = this.host.hub.helloOf(nodeId(node));
    // What it says itself counts: who passes its wish on may not know what to say of it.
    const level = hello === null ? (said ?? unknownLevel) : (hello.level ?? levelBeforeLevels);
    const ahead = this.levelAhead();
    return level >= ahead ? null : `${node} knows ${this.below(level, ahead)}`;
  }

  /** The leader raises the level as soon as every member says that it knows more. */
  reconcile(): void {
    const { machine, system } = this.host;
    if (machine === null || this.stopWhereOlder() || system?.isLeader !== true || machine.registry.nodes.size === 0) return;
    // Asked at every heartbeat; what this node does not know itself is not known to all.
    if ((machine.features.told ?? levelBeforeLevels) >= this.own) return;
    const level = this.knownToAll(machine.nodes().map(({ node }) => node));
    // A cluster from before levels is at theirs, and hears of levels only with a higher one: until then its members may be put back.
    if (level !== null && level > (machine.features.told ?? levelBeforeLevels)) this.host.propose([{ type: "raise-level", level }]);
  }

  /** Beside the founders, in one entry: from its first member on a new cluster has a level. Nothing where one of them did not say what it knows. */
  founding(founders: readonly string[]): readonly Command[] {
    const level = this.knownToAll(founders);
    return level === null ? [] : [{ type: "raise-level", level }];
  }

  /**
   * Group 0 is open: the same of its state, and of what the log says behind it. Asked before a shard is opened, as what this version does not understand
   * must not reach a store. An entry counts also where it is not known to be committed: that is known late, and in the shards there may be
   * commands of its level already. Should it never have been, the version that wrote it finds out.
   */
  opened({ entries, commit }: RaftRestored): Error | null {
    // Links of before were judged by nothing.
    if (!mutant("host-level-links-from-start")) this.applied();
    if (mutant("host-level-of-the-snapshot")) return this.problem();
    const counted = mutant("host-level-committed-only") ? entries.filter(({ index }) => index <= commit) : entries;
    return this.problem(highestRaise(counted));
  }

  /** The log says more than this node knows: an older version was put in its place. Null = all is well. */
  problem(raisedTo = 0): Error | null {
    const level = Math.max(raisedTo, this.host.machine?.features.told ?? 0);
    if (level <= this.own || mutant("host-level-beyond-own")) return null;
    const { featureLevel, node } = this.host.config;
    const why = featureLevel < newestLevel ? `FEATURE_LEVEL of ${node} is ${this.own}` : `this version of Trivet knows ${this.own}`;
    return new OlderVersion(
      `the cluster is at feature level ${level}, and ${why}: start ${node} with the version and the settings that it had, or with a newer one`,
    );
  }

  /** A member says that this node is too old. It would never hear a leader, and nobody would look for it: it stops as well. */
  turnedAway(detail: string): void {
    // While it reads its own log: that tells whoever started it, and if it does not, the next refusal comes with the next dial.
    if (this.host.phase === "starting") return;
    this.host.fatal(new OlderVersion(detail));
  }

  private stopWhereOlder(): boolean {
    const problem = this.problem();
    if (problem !== null) this.host.fatal(problem);
    return problem !== null;
  }

  /** The level that all of these and all members of group 0 know; null = somebody is not here to ask, or knows nothing of levels. */
  private knownToAll(names: readonly string[]): number | null {
    const { voters, outgoing, learners, learnersNext } = this.host.system?.raft.membership ?? noMembers;
    const all = new Set<string>([...names, ...voters, ...outgoing, ...learners, ...learnersNext]);
    let level = this.own;
    for (const name of all) {
      if (name === this.host.config.node) continue;
      const said = this.saidBy(nodeId(name));
      if (said === null) {
        if (mutant("host-level-of-a-majority")) continue;
        return null;
      }
      level = Math.min(level, said);
    }
    return level;
  }

  /** The cluster's, or that to which its log here will bring it. */
  private levelAhead(): number {
    const { system } = this.host;
    const unapplied = system === null ? [] : system.raft.entries(logIndex(system.appliedIndex + 1), system.raft.lastIndex, Infinity);
    return Math.max(this.cluster ?? 0, highestRaise(unapplied));
  }

  private below(level: number, cluster: number): string {
    return `feature level ${level}, and the cluster is at ${cluster}: start it with the version of ${this.host.config.node}, or a newer one`;
  }

  private saidBy(node: NodeId): number | null {
    return this.host.hub.helloOf(node)?.level ?? null;
  }

  /** Who keeps the cluster below `level`, for people. */
  private behind(level: number): string {
    const names = (this.host.machine?.nodes() ?? []).map(({ node }) => node).filter((node) => node !== this.host.config.node);
    const low = names.filter((node) => (this.saidBy(nodeId(node)) ?? 0) < level);
    if (this.own < level) low.unshift(this.host.config.node);
    return low.length === 0 ? "; it is being raised" : `; not known to know it, or not here: ${low.join(", ")}`;
  }
}

const noMembers = { voters: [], outgoing: [], learners: [], learnersNext: [] } as const;

function highestRaise(entries: readonly Entry[]): number {
  return entries.reduce((highest, { kind, payload }) => (kind === "command" ? Math.max(highest, levelRaisedBy(payload)) : highest), 0);
}

import type { NodeId } from "@trivet/core";
import type { Clock, Timer } from "../ports/clock.ts";
import type { Crypto } from "../ports/crypto.ts";
import type { FileStore, IoError } from "../ports/file.ts";
import type { Random } from "../ports/random.ts";
import type { Telemetry } from "../ports/telemetry.ts";
import { createLog } from "../log/index.ts";
import { readJsonFile, writeJsonFile } from "../log/json-file.ts";
import type { PeerHello } from "../peers/peer-frames.ts";

export interface Founder {
  readonly node: string;
  readonly storage: string;
  readonly url: string;
  readonly roles: string;
}

/** Who this data directory belongs to. Written once, when the cluster is founded or joined; checked at each start and handshake. */
export interface ClusterIdentity {
  readonly format: 1;
  readonly cluster: string;
  readonly node: string;
  readonly storage: string;
  readonly shards: number;
  /** The founding members, in node order; empty on a node that joined later. */
  readonly founders: readonly Founder[];
}

/** A founding accepted by this node, not yet known to be committed (rule G2: durable acceptance by all). */
export interface Preparation {
  readonly cluster: string;
  readonly storage: string;
  readonly shards: number;
  readonly founders: readonly Founder[];
}

/** Null when the data directory is this node's, or nobody's yet. */
export function directoryProblem(identity: ClusterIdentity | null, node: string): Error | null {
  if (identity === null || identity.node === node) return null;
  return new Error(
    `this data directory belongs to node ${identity.node} of cluster ${identity.cluster}, but NODE_ID is ${node}: ` +
      `set NODE_ID=${identity.node} or another DATA_DIR`,
  );
}

export const identityFile = "identity.json";
/** Where the write-ahead log lives in the data directory. */
export const logDirectory = "wal";
export const preparationFile = "founding.json";

export interface BootstrapOwner {
  readonly node: string;
  readonly url: string;
  readonly roles: string;
  /** May become a voter of group 0. */
  readonly voter: boolean;
  /** The highest feature level that it knows. */
  readonly level: number;
  readonly storage: string;
  readonly shards: number;
  /** Addresses this node was told, without its own. Empty = it may found alone. */
  listed(): readonly { readonly address: string; readonly node: NodeId | null; readonly error: string | null }[];
  helloOf(node: NodeId): PeerHello | null;
  call(to: NodeId, method: string, body: unknown, done: (answer: unknown) => void): void;
  /** Only by `--join`: never found, wait for a member. */
  readonly joinOnly: boolean;
  phase(phase: "founding" | "joining", detail: string): void;
  finished(identity: ClusterIdentity): void;
  fatal(error: IoError): void;
}

export interface BootstrapPorts {
  readonly clock: Clock;
  readonly crypto: Crypto;
  readonly files: FileStore;
  readonly random: Random;
  readonly telemetry: Telemetry;
}

const stepMs = 100;

/**
 * How an empty node becomes a member (rule G2). Founding is a two-phase commit led by the listed node with the smallest id: all must accept
 * durably, then the coordinator's own identity file is the point of no return. If any listed node already belongs to a cluster, this node
 * joins that one and never founds.
 */
export class Bootstrap {
  private readonly owner: BootstrapOwner;
  private readonly ports: BootstrapPorts;
  private prepared: Preparation | null;
  private timer: Timer | null = null;
  private busy = false;
  private ended = false;
  private lastDetail = "";
  private asked = 0;

  constructor(owner: BootstrapOwner, ports: BootstrapPorts, prepared: Preparation | null) {
    this.owner = owner;
    this.ports = ports;
    this.prepared = prepared;
  }

  get preparing(): string {
    return this.prepared?.cluster ?? "";
  }

  start(): void {
    this.step();
  }

  stop(): void {
    this.ended = true;
    this.timer?.cancel();
  }

  /** Looks again at once: a peer came or went. */
  poke(): void {
    if (this.ended || this.busy) return;
    this.timer?.cancel();
    this.step();
  }

  private later(): void {
    if (this.ended) return;
    this.timer?.cancel();
    this.timer = this.ports.clock.schedule(stepMs, () => this.step());
  }

  private step(): void {
    this.timer = null;
    if (this.ended || this.busy) return;
    const listed = this.owner.listed();
    if (listed.length === 0 && !this.owner.joinOnly) {
      this.found([]);
      return;
    }
    const hellos: PeerHello[] = [];
    const missing: string[] = [];
    for (const target of listed) {
      const hello = target.node === null ? null : this.owner.helloOf(target.node);
      if (hello === null) missing.push(`${target.address} (${target.error ?? "not connected"})`);
      else if (!hellos.some((known) => known.node === hello.node)) hellos.push(hello);
    }
    const members = hellos.filter((hello) => hello.cluster !== "");
    // One after the other: a member that was removed meanwhile cannot take anybody in, and may not know it.
    const member = members[this.asked % Math.max(1, members.length)];
    if (member !== undefined) {
      this.asked += 1;
      this.meet(member);
      return;
    }
    if (this.owner.joinOnly) this.wait("joining", `waiting for a member to join: ${missing.join(", ")}`);
    else if (missing.length > 0) this.wait("founding", `founding needs every listed node; missing: ${missing.join(", ")}`);
    else if (hellos.some((hello) => hello.node < this.owner.node))
      this.wait("founding", `waiting for ${hellos.map((hello) => hello.node).sort()[0]} to found the cluster`);
    else this.found(hellos);
  }

  private wait(phase: "founding" | "joining", detail: string): void {
    if (detail !== this.lastDetail) {
      this.lastDetail = detail;
      this.owner.phase(phase, detail);
    }
    this.later();
  }

  /** A listed node belongs to a cluster: it is the one we prepared for, or we ask to join. */
  private meet(member: PeerHello): void {
    const { prepared } = this;
    if (prepared !== null && prepared.cluster === member.cluster) {
      this.commit(prepared);
      return;
    }
    this.busy = true;
    if (this.lastDetail === "") this.owner.phase("joining", `asking ${member.node} to join cluster ${member.cluster}`);
    const { node, storage, url, roles, voter, level } = this.owner;
    this.owner.call(member.node as NodeId, "join", { node, storage, url, roles, voter, level }, (answer) => {
      this.busy = false;
      if (this.ended) return;
      const reply = answer as { readonly ok?: boolean; readonly shards?: number; readonly reason?: string } | null;
      if (reply?.ok !== true) {
        this.wait("joining", `cluster ${member.cluster} does not take this node yet: ${reply?.reason ?? "no answer"}`);
        return;
      }
      this.settle({ format: 1, cluster: member.cluster, node, storage, shards: reply.shards ?? this.owner.shards, founders: [] });
    });
  }

  private found(others: readonly PeerHello[]): void {
    this.busy = true;
    const { node, storage, url, roles, shards } = this.owner;
    const founders: Founder[] = [
      { node, storage, url, roles },
      ...others.map((hello) => ({ node: hello.node, storage: hello.storage, url: hello.url, roles: hello.roles })),
    ].sort((a, b) => (a.node < b.node ? -1 : 1));
    // A founding of other members is another cluster: the earlier one may have been committed elsewhere (rule G2).
    const same = this.prepared !== null && JSON.stringify(this.prepared.founders) === JSON.stringify(founders);
    const cluster = same ? (this.prepared?.cluster ?? "") : this.ports.random.hex(8);
    const preparation: Preparation = { cluster, storage, shards, founders };
    this.owner.phase("founding", `founding cluster ${preparation.cluster} with ${founders.map((founder) => founder.node).join(", ")}`);
    this.write(preparationFile, preparation, () => {
      this.prepared = preparation;
      this.askAll(others, preparation);
    });
  }

  private askAll(others: readonly PeerHello[], preparation: Preparation): void {
    let open = others.length;
    const refusals: string[] = [];
    const decide = (): void => {
      if (this.ended) return;
      if (refusals.length === 0) {
        this.commit(preparation);
        for (const other of others) this.owner.call(other.node as NodeId, "commit-founding", preparation, () => this.noteCommitAnswer());
        return;
      }
      this.busy = false;
      this.wait("founding", `not founded: ${refusals.join("; ")}`);
    };
    if (open === 0) decide();
    for (const other of others) {
      this.owner.call(other.node as NodeId, "prepare-founding", preparation, (answer) => {
        const reply = answer as { readonly ok?: boolean; readonly reason?: string } | null;
        if (reply?.ok !== true) refusals.push(`${other.node}: ${reply?.reason ?? "no answer"}`);
        open -= 1;
        if (open === 0) decide();
      });
    }
  }

  /** A node that missed the commit learns of it from any member's hello, so its answer changes nothing. */
  private noteCommitAnswer(): void {
    this.ports.telemetry.count("trivet_foundings_answered_total", 1);
  }

  /** The coordinator asks this node to accept a founding. */
  onPrepare(preparation: Preparation, answer: (reply: { readonly ok: boolean; readonly reason?: string }) => void): void {
    if (this.ended) {
      answer({ ok: false, reason: `${this.owner.node} already belongs to a cluster` });
      return;
    }
    const ours = this.expectedMembers();
    const theirs = preparation.founders.map((founder) => founder.node).sort();
    const self = preparation.founders.find((founder) => founder.node === this.owner.node);
    if (self === undefined || self.storage !== this.owner.storage) {
      answer({ ok: false, reason: `${this.owner.node} has another disk than the founding names` });
      return;
    }
    if (ours === null || ours.join() !== theirs.join()) {
      answer({
        ok: false,
        reason: `member lists differ: ${this.owner.node} lists ${ours?.join(", ") ?? "nodes it has not reached yet"}; the founding lists ${theirs.join(", ")}`,
      });
      return;
    }
    const accepted: Preparation = { ...preparation, storage: this.owner.storage };
    this.write(preparationFile, accepted, () => {
      this.prepared = accepted;
      answer({ ok: true });
    });
  }

  onCommit(preparation: Preparation): boolean {
    if (this.ended || this.prepared === null || this.prepared.cluster !== preparation.cluster) return false;
    this.commit(this.prepared);
    return true;
  }

  private expectedMembers(): readonly string[] | null {
    const names = new Set<string>([this.owner.node]);
    for (const target of this.owner.listed()) {
      if (target.node === null) return null;
      names.add(target.node);
    }
    return [...names].sort();
  }

  private commit(preparation: Preparation): void {
    const { node, storage } = this.owner;
    this.settle({ format: 1, cluster: preparation.cluster, node, storage, shards: preparation.shards, founders: preparation.founders });
  }

  private settle(identity: ClusterIdentity): void {
    if (this.ended) return;
    this.stop();
    // The log first: an identity without one means that the log was lost (rule G5).
    createLog(this.ports.files, this.ports.crypto, logDirectory, (error) => {
      if (error !== null) this.owner.fatal(error);
      else this.write(identityFile, identity, () => this.owner.finished(identity));
    });
  }

  private write(path: string, value: unknown, then: () => void): void {
    writeJsonFile(this.ports.files, this.ports.crypto, path, value, (error) => {
      if (error !== null) this.owner.fatal(error);
      else then();
    });
  }
}

/** What an earlier run left: the identity of a member, or a founding it accepted, or nothing. */
export function readBootstrapFiles(
  ports: Pick<BootstrapPorts, "files" | "crypto">,
  done: (error: IoError | null, identity: ClusterIdentity | null, preparation: Preparation | null) => void,
): void {
  readJsonFile(ports.files, ports.crypto, identityFile, (identityError, identity) => {
    if (identityError !== null) {
      done(identityError, null, null);
      return;
    }
    readJsonFile(ports.files, ports.crypto, preparationFile, (preparationError, preparation) => {
      done(preparationError, (identity as ClusterIdentity | undefined) ?? null, (preparation as Preparation | undefined) ?? null);
    });
  });
}

/** The parts of the nodes' answers that the CLI shows. Field names are those of the API (packages/contract). */
export interface MemberAnswer {
  readonly node: string;
  readonly kind: "voter" | "learner" | "outgoing";
  readonly url: string | null;
  readonly roles: string | null;
  readonly self: boolean;
  readonly leader: boolean;
  readonly connected: boolean | null;
  readonly replaceable: boolean;
}

export interface PeerAnswer {
  readonly node: string;
  readonly address: string;
  readonly connected: boolean;
  readonly lag: number;
  readonly last_error: string | null;
}

export interface RaftStatusAnswer {
  readonly node_id: string;
  readonly cluster_id: string | null;
  readonly phase: string;
  readonly phase_detail: string;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: number;
  readonly leader: string | null;
  readonly commit_index: string;
  readonly applied_index: string;
  readonly quorum: { readonly needed: number; readonly reachable: number; readonly missing: readonly string[] };
  readonly members: readonly MemberAnswer[];
  readonly peers: readonly PeerAnswer[];
  readonly groups: readonly GroupAnswer[];
}

export interface GroupAnswer {
  readonly group: number;
  readonly role: "leader" | "follower" | "candidate" | "learner";
  readonly term: number;
  readonly leader: string | null;
  readonly commit_index: string;
  readonly applied_index: string;
}

export interface RingAnswer {
  readonly backend: string;
  readonly shards: readonly {
    readonly shard: number;
    readonly leader: string | null;
    readonly replicas: readonly string[];
    readonly waiting: { readonly why: string; readonly next: string } | null;
  }[];
}

export interface MembersAnswer {
  readonly members: readonly MemberAnswer[];
  readonly leader: string | null;
  readonly term: number;
}

export interface LockAnswer {
  readonly name: string;
  readonly status: "available" | "held" | "delayed";
  /** Size of a semaphore. */
  readonly of?: number;
  readonly holders: readonly {
    readonly owner: string;
    readonly session_id: string | null;
    readonly mode: string;
    readonly fence: string;
    readonly depth: number;
    readonly expires_in_ms: number | null;
    readonly held_ms: number;
  }[];
  readonly waiters: readonly {
    readonly position: number;
    readonly owner: string;
    readonly session_id: string | null;
    readonly mode: string;
    readonly waiting_ms: number;
  }[];
}

export interface LockListAnswer {
  readonly locks: readonly LockAnswer[];
  readonly next_cursor: string | null;
  readonly total: number;
  readonly waiters: number;
}

export interface GraphAnswer {
  readonly edges: readonly {
    readonly waiter: string;
    readonly holder: string;
    readonly name: string;
    readonly mode: string;
    readonly kind: "hard" | "order";
    readonly waiting_ms: number;
  }[];
  readonly cycles: readonly (readonly string[])[];
  readonly last_resolutions: readonly {
    readonly at_ms: number;
    readonly victim: string;
    readonly name: string;
    readonly cycle: readonly { readonly owner: string; readonly waits_for: string; readonly held_by: string }[];
  }[];
}

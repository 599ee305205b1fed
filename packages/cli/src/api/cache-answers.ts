/** The parts of the nodes' answers about cached values that the CLI shows. Field names are those of the API (packages/contract). */
export interface CacheEntryAnswer {
  readonly key: string;
  readonly namespace: string;
  readonly found: "value" | "negative";
  readonly value: unknown;
  readonly value_base64?: string;
  readonly version: string;
  readonly state: string;
  readonly source: string;
  readonly tags: readonly string[];
  readonly ttl_ms: number | null;
}

export interface CacheWrittenAnswer {
  readonly key: string;
  readonly namespace: string;
  readonly version: string;
  readonly state: string;
}

export interface ExplainedAnswer {
  readonly key: string;
  readonly namespace: string;
  readonly shard: number;
  readonly home: string;
  readonly term: number;
  readonly phase: string;
  readonly version: string;
  readonly tags: readonly string[];
  readonly ttl_ms: number | null;
  readonly directory: string;
  readonly owner: string | null;
  readonly sharers: readonly { readonly node: string; readonly incarnation: string; readonly lease_left_ms: number }[];
  readonly queued: number;
  readonly waiting_for: readonly string[];
  /** Not told by nodes of before. */
  readonly behind?: { readonly version: string; readonly deleted: boolean; readonly for_ms: number } | null;
  readonly copies: readonly {
    readonly node: string;
    readonly state: string;
    readonly version: string;
    readonly lease_left_ms: number;
    readonly age_ms: number;
    readonly transitions: readonly { readonly from: string; readonly to: string; readonly at: number }[];
  }[];
  readonly silent: readonly string[];
}

export interface WarmedAnswer {
  readonly loaded: number;
  readonly stored: number;
  readonly absent: number;
  readonly failed: readonly { readonly key: string; readonly code: string; readonly detail: string }[];
}

export interface VerifiedAnswer {
  readonly ok: boolean;
  readonly keys_checked: number;
  readonly violations: readonly { readonly invariant: string; readonly namespace: string; readonly key: string; readonly detail: string }[];
  readonly silent: readonly string[];
  /** Nodes of whose copies not all were looked at. A node of an earlier version does not say. */
  readonly truncated?: readonly string[];
}

export interface CacheCopyAnswer {
  readonly namespace: string;
  readonly key: string;
  readonly state: string;
  readonly version: string;
  readonly age_ms: number;
}
export interface CacheStateAnswer {
  readonly node_id: string;
  readonly keys: readonly CacheCopyAnswer[];
  readonly next_cursor: string | null;
  readonly entries: number;
  readonly bytes: number;
  readonly max_entries: number;
  readonly max_bytes: number;
  readonly policy: string;
  readonly statistics: { readonly hits: number; readonly misses: number; readonly hit_ratio: number };
}

export interface NamespaceAnswer {
  readonly name: string;
  readonly id: string;
  readonly version: number;
  readonly settings: Readonly<Record<string, number | string>>;
}
export interface NamespaceListAnswer {
  readonly namespaces: readonly NamespaceAnswer[];
  readonly next_cursor: string | null;
}

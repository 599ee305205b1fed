/** What a node says about itself before and after a run. */
export interface NodeLook {
  readonly host: string;
  readonly leader: string | null;
  readonly term: number;
  readonly hits: number;
  readonly misses: number;
}

export interface Looks {
  readonly before: readonly NodeLook[];
  readonly after: readonly NodeLook[];
  /** Terms that began during the run. */
  readonly leaderChanges: number;
}

const timeoutMs = 5_000;

/** The nodes that answer; those that do not are told by the calls of the users. */
export async function lookAt(hosts: readonly string[]): Promise<readonly NodeLook[]> {
  const looks = await Promise.allSettled(hosts.map(lookAtOne));
  return looks.flatMap((look) => (look.status === "fulfilled" ? [look.value] : []));
}

async function lookAtOne(host: string): Promise<NodeLook> {
  const [metrics, leader] = await Promise.all([json(`${host}/metrics`), json(`${host}/raft/leader`)]);
  return {
    host,
    leader: typeof leader["leader"] === "string" ? leader["leader"] : null,
    term: Number(leader["term"] ?? 0),
    hits: Number(metrics["cache_hits"] ?? 0),
    misses: Number(metrics["cache_misses"] ?? 0),
  };
}

async function json(url: string): Promise<Readonly<Record<string, unknown>>> {
  const answer = await fetch(url, { signal: AbortSignal.timeout(timeoutMs) });
  if (!answer.ok) throw new Error(`${url} answered ${answer.status}`);
  return (await answer.json()) as Readonly<Record<string, unknown>>;
}

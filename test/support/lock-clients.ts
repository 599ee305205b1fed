import { checkFencing, checkMutualExclusion, type FencedGrant, type HoldInterval, type Violation } from "@trivet/simulator";
import { setTimeout as pause } from "node:timers/promises";
import { call, type Answer, type Json } from "./http.ts";
import { ready, waitFor } from "./wait.ts";

/** One grant as its client saw it. Times come from this process's one clock. */
interface Grant {
  readonly name: string;
  readonly owner: string;
  readonly fence: number;
  readonly call: number;
  readonly ret: number;
  /** When the release was asked for; null = not yet. */
  released: number | null;
  /** The release was acknowledged. */
  gone: boolean;
}

/** What all clients saw together. */
export interface LockHistory {
  readonly grants: readonly Grant[];
  /** Answers that no documented behaviour explains. */
  readonly surprises: readonly string[];
  /** Acquires and releases that were acknowledged. */
  readonly acknowledged: number;
}

export interface LockClients {
  readonly history: LockHistory;
  /** Waits until `operations` more calls were acknowledged: the cluster works. */
  progress(operations: number, deadlineMs?: number): Promise<void>;
  /** Lets every client finish its round and stop. */
  finish(): Promise<LockHistory>;
}

export interface LockClientOptions {
  readonly urls: readonly string[];
  readonly clients: number;
  readonly names: readonly string[];
  /** A client that gets no answer repeats the same call, under the same key, at another node, for so long. */
  readonly patienceMs: number;
  /** Told of each call that was acknowledged. */
  readonly acknowledged?: () => void;
}

// One count for all clients of this process: a key that comes back with another body is refused.
let keys = 0;

/**
 * Clients that acquire and release without end, each call through a random node. A call without answer is repeated with the same
 * Idempotency-Key, so it takes effect once (rule X2) and its outcome becomes known.
 */
export function startLockClients(options: LockClientOptions): LockClients {
  const history = { grants: [] as Grant[], surprises: [] as string[], acknowledged: 0 };
  const stop = new AbortController();

  const acknowledged = (): void => {
    history.acknowledged += 1;
    options.acknowledged?.();
  };
  const insist = async (path: string, body: Json): Promise<Answer | null> => {
    keys += 1;
    const headers = { "idempotency-key": `e2e-${process.pid}-${keys}` };
    const begun = performance.now();
    while (performance.now() - begun < options.patienceMs) {
      const url = options.urls[Math.floor(Math.random() * options.urls.length)] ?? "";
      try {
        const answer = await call(`${url}${path}`, { body, headers, timeoutMs: 3_000 });
        // 503 changed nothing, 504 is an unknown outcome: both are repeated under the same key.
        if (answer.status !== 503 && answer.status !== 504) return answer;
      } catch {
        // Refused, reset or silent: the node is down or paused. Repeated like an unknown outcome.
      }
      await pause(20 + Math.random() * 80);
    }
    return null;
  };

  const round = async (owner: string): Promise<void> => {
    const name = options.names[Math.floor(Math.random() * options.names.length)] ?? "";
    const path = `/v1/locks/${encodeURIComponent(name)}`;
    const asked = performance.now();
    const granted = await insist(`${path}/acquire`, { owner, wait_ms: 500, ttl_ms: 600_000 });
    const seen = performance.now();
    if (granted === null) return void history.surprises.push(`acquire of ${name} by ${owner} got no answer in ${options.patienceMs} ms`);
    // A call that was given up after its time leaves the line, and its repetition is told so.
    if (granted.status === 423 || granted.body["code"] === "cancelled") return;
    if (granted.status !== 200) return void history.surprises.push(`acquire of ${name} answered ${granted.status} ${granted.text}`);
    const grant: Grant = { name, owner, fence: Number(granted.body["fence"]), call: asked, ret: seen, released: null, gone: false };
    history.grants.push(grant);
    acknowledged();
    grant.released = performance.now();
    const released = await insist(`${path}/release`, { owner, fence: String(grant.fence) });
    if (released?.status === 200) {
      grant.gone = true;
      acknowledged();
    } else {
      history.surprises.push(`release of ${name} fence ${grant.fence}: ${released ? `${released.status} ${released.text}` : "no answer"}`);
    }
  };

  const loops = Array.from({ length: options.clients }, async (_, index) => {
    for (let turn = 0; !stop.signal.aborted; turn += 1) await round(`client-${index}-${turn}`);
  });

  return {
    history,
    progress: async (operations, deadlineMs = 30_000) => {
      const goal = history.acknowledged + operations;
      await waitFor(
        `${operations} more acknowledged calls`,
        () => (history.acknowledged >= goal ? ready(true) : `${goal - history.acknowledged} are missing; ${history.surprises.join("; ")}`),
        { deadlineMs },
      );
    },
    finish: async () => {
      stop.abort();
      await Promise.all(loops);
      return history;
    },
  };
}

/** Mutual exclusion, order of fences, and nothing unexpected. */
export function violations(history: LockHistory): readonly (Violation | string)[] {
  const holds = history.grants.map(({ name, owner, fence, ret, released }): HoldInterval => ({
    name,
    owner,
    mode: "exclusive",
    of: 0,
    fence,
    from: ret,
    until: released,
  }));
  const grants: readonly FencedGrant[] = history.grants;
  const found = [checkMutualExclusion(holds), checkFencing(grants)].filter((violation) => violation !== null);
  return [...found, ...history.surprises];
}

/** Every grant not released is still there, every released one is gone, as a linearizable read at `url` tells. */
export async function lostOrLeftOver(history: LockHistory, url: string): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const name of new Set(history.grants.map((grant) => grant.name))) {
    const { body } = await call(`${url}/v1/locks/${encodeURIComponent(name)}`);
    const fences = new Set((body["holders"] as readonly Json[]).map((holder) => Number(holder["fence"])));
    for (const grant of history.grants) {
      if (grant.name !== name) continue;
      if (grant.gone && fences.has(grant.fence)) problems.push(`${name}: fence ${grant.fence} was released and is held`);
      if (grant.released === null && !fences.has(grant.fence)) problems.push(`${name}: fence ${grant.fence} was granted and is lost`);
    }
  }
  return problems;
}

import type { CacheOrigin, MemoryTelemetry, OriginAnswer, OriginWrite, OriginWritten } from "@trivet/engine";

export const load = (origin: CacheOrigin, namespace: string, key: string): Promise<OriginAnswer> =>
  new Promise((resolve) => origin.load(namespace, key, resolve));

export const write = (origin: CacheOrigin, ...writes: readonly OriginWrite[]): Promise<readonly OriginWritten[]> =>
  new Promise((resolve) => {
    const outcomes: OriginWritten[] = [];
    let left = writes.length;
    origin.write(writes, (place, outcome) => {
      outcomes[place] = outcome;
      left--;
      if (left === 0) resolve(outcomes);
    });
  });

export const stampOf = (version: number): string => String(1_790_000_000_000).padStart(16, "0") + String(version).padStart(16, "0");

/** As a shard's leader makes it; `version` decides. */
export function written(key: string, value: string | null, version: number): OriginWrite {
  return { namespace: "n", key, value: value === null ? null : new TextEncoder().encode(value), stamp: stampOf(version) };
}

/** A value as text. */
export async function textOf(origin: CacheOrigin, namespace: string, key: string): Promise<string> {
  const answer = await load(origin, namespace, key);
  return answer.type === "value" ? new TextDecoder().decode(answer.value) : answer.type;
}

export const eventsOf = ({ lines }: MemoryTelemetry): readonly string[] => lines.map(({ event }) => event);

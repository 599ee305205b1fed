import type { CacheOrigin, MemoryTelemetry, OriginAnswer, OriginWrite, OriginWritten } from "@trivet/engine";

export const load = (origin: CacheOrigin, namespace: string, key: string): Promise<OriginAnswer> =>
  new Promise((resolve) => origin.load(namespace, key, resolve));

export const write = (origin: CacheOrigin, ...writes: readonly OriginWrite[]): Promise<readonly OriginWritten[]> =>
  new Promise((resolve) => origin.write(writes, resolve));

/** As a shard's leader makes it; `version` decides. */
export function written(key: string, value: string | null, version: number): OriginWrite {
  const stamp = String(1_790_000_000_000).padStart(16, "0") + String(version).padStart(16, "0");
  return { namespace: "n", key, value: value === null ? null : new TextEncoder().encode(value), stamp };
}

/** A value as text. */
export async function textOf(origin: CacheOrigin, namespace: string, key: string): Promise<string> {
  const answer = await load(origin, namespace, key);
  return answer.type === "value" ? new TextDecoder().decode(answer.value) : answer.type;
}

export const eventsOf = ({ lines }: MemoryTelemetry): readonly string[] => lines.map(({ event }) => event);

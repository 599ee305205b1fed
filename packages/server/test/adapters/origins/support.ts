import type { CacheOrigin, MemoryTelemetry, OriginAnswer } from "@trivet/engine";

export const load = (origin: CacheOrigin, namespace: string, key: string): Promise<OriginAnswer> =>
  new Promise((resolve) => origin.load(namespace, key, resolve));

/** A value as text. */
export async function textOf(origin: CacheOrigin, namespace: string, key: string): Promise<string> {
  const answer = await load(origin, namespace, key);
  return answer.type === "value" ? new TextDecoder().decode(answer.value) : answer.type;
}

export const eventsOf = ({ lines }: MemoryTelemetry): readonly string[] => lines.map(({ event }) => event);

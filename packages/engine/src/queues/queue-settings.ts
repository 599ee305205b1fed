import { defaultQueueSettings } from "@trivet/core";
import type { QueueDefinition } from "@trivet/wire";
import type { QueueSettings } from "./queues-api.ts";

/** What `settings` make of what is there: fields left out keep their value, or get the default; only a change makes a new version. */
export function definitionWith(name: string, known: QueueDefinition | null, settings: Partial<QueueSettings>): QueueDefinition {
  const given = Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)) as Partial<QueueSettings>;
  const definition = { ...defaultQueueSettings, ...known, ...given, name, version: known?.version ?? 0 };
  const isOther = known === null || Object.entries(known).some(([field, value]) => definition[field as keyof QueueDefinition] !== value);
  return { ...definition, version: definition.version + (isOther ? 1 : 0) };
}

/** Null when a queue can be so. */
export function settingsProblem(
  definition: QueueDefinition,
  limits: { readonly maxPartitions: number; readonly maxDurationMs: number },
): string | null {
  const { partitions } = definition;
  if (!Number.isSafeInteger(partitions) || partitions < 1 || partitions > limits.maxPartitions)
    return `partitions: 1 to ${limits.maxPartitions}`;
  if (definition.visibilityMs === 0) return "visibilityMs: at least 1";
  for (const [field, value] of Object.entries(definition) as [string, unknown][]) {
    if (typeof value !== "number") continue;
    const most = field.endsWith("Ms") ? limits.maxDurationMs : Number.MAX_SAFE_INTEGER;
    if (!Number.isSafeInteger(value) || value < 0 || value > most) return `${field}: an integer from 0 to ${most}`;
  }
  return null;
}

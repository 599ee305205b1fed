/** Everything but what is frozen or bytes is copied. */
export function clone<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value) || value instanceof Uint8Array) return value;
  if (Array.isArray(value)) return value.map((item: unknown) => clone(item)) as T;
  if (value instanceof Map) {
    const copy = new Map<unknown, unknown>();
    for (const [key, item] of value) copy.set(key, clone(item));
    return copy as T;
  }
  if (value instanceof Set) return new Set(value) as T;
  const copy = Object.create(Object.getPrototypeOf(value) as object) as Record<string, unknown>;
  for (const [key, item] of Object.entries(value)) copy[key] = clone(item);
  return copy as T;
}

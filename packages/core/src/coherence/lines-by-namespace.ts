import { type LineName, namespaceOf } from "./messages.ts";

/** Lines, found by their namespace without a look at those of others. */
export type LinesByNamespace = Map<string, Set<LineName>>;

export function addLine(lines: LinesByNamespace, line: LineName): void {
  const namespace = namespaceOf(line);
  const known = lines.get(namespace);
  if (known === undefined) lines.set(namespace, new Set([line]));
  else known.add(line);
}

export function removeLine(lines: LinesByNamespace, line: LineName): void {
  const namespace = namespaceOf(line);
  const known = lines.get(namespace);
  if (known?.delete(line) === true && known.size === 0) lines.delete(namespace);
}

export function hasLine(lines: LinesByNamespace, line: LineName): boolean {
  return lines.get(namespaceOf(line))?.has(line) === true;
}

import type { HolderId } from "@trivet/wire";

export function holderId(node: string, storage: string): HolderId {
  return `${node}#${storage}`;
}

/** A program that holds copies of its own, through whichever node it is connected to. No node has an empty name. */
export function programHolder(program: string): HolderId {
  return `#${program}`;
}

/** Null = a node's holder. */
export function programOfHolder(holder: HolderId): string | null {
  return holder.startsWith("#") ? holder.slice(1) : null;
}

/** For people: of a program no more than tells it from others, as its whole id would let anybody speak for it. */
export function nodeOfHolder(holder: HolderId): string {
  const program = programOfHolder(holder);
  return program === null ? holder.slice(0, holder.lastIndexOf("#")) : `program ${program.slice(0, 6)}`;
}

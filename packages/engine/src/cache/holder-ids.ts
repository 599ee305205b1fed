import type { HolderId } from "@trivet/wire";

export function holderId(node: string, storage: string): HolderId {
  return `${node}#${storage}`;
}

export function nodeOfHolder(holder: HolderId): string {
  return holder.slice(0, holder.lastIndexOf("#"));
}

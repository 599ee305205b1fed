import type { HeldKey } from "@trivet/client";
import type { Api } from "../api/http.ts";
import { showLock } from "../api/locks.ts";
import { CliError } from "../output/errors.ts";
import { printable } from "../output/output.ts";

/**
 * Asks now and then whether the grants are still there: when an operator ends one (`lock force-release`) its session goes on, and nobody tells it. Returns how to
 * stop.
 */
export function watchGrants(
  api: Api,
  keys: readonly Pick<HeldKey, "name" | "fence">[],
  everyMs: number,
  lost: (reason: string) => void,
): () => void {
  let timer: NodeJS.Timeout | null = null;
  let isOver = false;
  // Those two are looked for in a list, which may end before them: no ground for ending a command.
  const watched = keys.filter(({ name }) => name !== "." && name !== "..");
  const look = async (): Promise<void> => {
    for (const { name, fence } of watched) {
      const isThere = await isHeld(api, name, String(fence));
      if (isOver) return;
      if (!isThere) return lost(`${printable(name)} was taken away (trivet lock force-release)`);
    }
    timer = setTimeout(() => void look(), everyMs);
  };
  timer = setTimeout(() => void look(), everyMs);
  return () => {
    isOver = true;
    if (timer !== null) clearTimeout(timer);
  };
}

async function isHeld(api: Api, name: string, fence: string): Promise<boolean> {
  try {
    return (await showLock(api, name)).holders.some((holder) => holder.fence === fence);
  } catch (error) {
    // Nobody answers, or this key may not read: the session says by itself when the cluster has gone.
    if (error instanceof CliError) return true;
    throw error;
  }
}

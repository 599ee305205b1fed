import type { ReadMode } from "@trivet/core";
import type { NamespaceSettings } from "@trivet/wire";

/** How a holder reads what is in such a namespace. */
export function readMode({ mode, staleMs }: Pick<NamespaceSettings, "mode" | "staleMs">): ReadMode {
  return mode === "ttl" ? { type: "ttl", staleMs } : { type: mode };
}

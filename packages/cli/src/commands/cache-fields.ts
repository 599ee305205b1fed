import { Option } from "commander";
import { inPath } from "./fields.ts";

/** Path of a key, or of something of it. */
export function keyPath(
  key: string,
  options: { readonly namespace?: string },
  more = "",
  query: Readonly<Record<string, string>> = {},
): string {
  const all = new URLSearchParams({ ...(options.namespace === undefined ? {} : { namespace: options.namespace }), ...query });
  return `/v1/cache/${inPath(key, "key")}${more}${all.size === 0 ? "" : `?${all.toString()}`}`;
}
export const namespaceOption = (): Option => new Option("--namespace <name>", "the namespace of the key; `default` when not given");

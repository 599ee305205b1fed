import type { HolderState } from "@trivet/core";
import type { HomeMessage, Scope } from "@trivet/wire";
import type { Telemetry } from "../ports/telemetry.ts";
import { keyOfLine } from "./lines.ts";

/** Operators look for it: which copies were withdrawn here, at whose word. `nameOf`: of a namespace by its number. */
export function tellWithdrawal(
  telemetry: Telemetry,
  holder: HolderState,
  message: HomeMessage,
  sender: string,
  nameOf: (namespace: number) => string | null,
): void {
  if (message.type !== "inv") return;
  const { text, fields } = described(holder, message.scope, nameOf);
  telemetry.log("info", "cache.invalidated", `${text} withdrawn by ${sender}`, { ...fields, sender });
}

function described(
  holder: HolderState,
  scope: Scope,
  nameOf: (namespace: number) => string | null,
): { readonly text: string; readonly fields: Readonly<Record<string, unknown>> } {
  if (scope.type === "everything") return { text: "all copies", fields: {} };
  if (scope.type === "namespace") {
    const namespace = nameOf(Number(scope.namespace)) ?? scope.namespace;
    const of = scope.tag === null ? "" : ` with tag ${scope.tag}`;
    return { text: `all copies of namespace ${namespace}${of}`, fields: { namespace, tag: scope.tag } };
  }
  const [number, key] = keyOfLine(scope.line);
  const namespace = nameOf(number) ?? String(number);
  // What it had: 0 = a copy was on its way, or had been given up before.
  const version = holder.lines.get(scope.line)?.copy?.record.version ?? 0;
  return { text: `the copy of ${key}, version ${version},`, fields: { namespace, key, version } };
}

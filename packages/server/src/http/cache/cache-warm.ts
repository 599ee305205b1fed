import type { cacheSchemas } from "@trivet/contract";
import { type CacheEntry, type CacheFailure, defaultNamespace } from "@trivet/engine";
import { type Answer, type Failure, ok } from "../answer.ts";
import { cacheFailure, isCacheFailure, question } from "./cache-calls.ts";
import { isFailure } from "../calls.ts";
import type { HttpContext } from "../context.ts";
import { buildProblem } from "../problems.ts";

/** Reads keys for what reading does to them: they are loaded and kept. */
export async function warm(context: HttpContext, { keys, namespace = defaultNamespace }: cacheSchemas.WarmBody): Promise<Answer> {
  const outcome = await question<{ readonly type: "entries"; readonly entries: readonly (CacheEntry | CacheFailure)[] }>(
    context,
    { namespace },
    (cache, timeoutMs, done) => cache.getMany(namespace, keys, "linearizable", timeoutMs, done),
  );
  if (isFailure(outcome)) return outcome;
  const counts = { loaded: 0, stored: 0, absent: 0 };
  const failures: Failure[] = [];
  const failed: { readonly key: string; readonly code: string; readonly detail: string }[] = [];
  for (const [place, entry] of outcome.entries.entries()) {
    if (isCacheFailure(entry)) {
      const key = keys[place] ?? "";
      const reason = cacheFailure(context, entry, { namespace, key });
      const { code, detail } = buildProblem(reason, "", false).body;
      failures.push(reason);
      failed.push({ key, code, detail });
    } else {
      counts[entry.value === null ? "absent" : entry.source === "origin" ? "loaded" : "stored"]++;
    }
  }
  // Where nothing could be read, one answer says why.
  const [first] = failures;
  return first !== undefined && failures.length === outcome.entries.length ? first : ok({ namespace, ...counts, failed });
}

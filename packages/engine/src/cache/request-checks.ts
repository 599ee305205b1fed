import { limits, type WriteCondition } from "@trivet/wire";
import { integerProblem, textProblem } from "../queues/request-checks.ts";
import type { CacheDelete, CacheIncrement, CachePut } from "./cache-api.ts";

/** What is wrong with a request that the wire cannot carry; null = nothing. Each names the field and what was expected. */
export function keyProblem(namespace: string, key: string): string | null {
  return namespaceProblem(namespace) ?? textProblem("key", key, limits.maxCacheKeyBytes, 1);
}

export function namespaceProblem(namespace: string): string | null {
  const problem = textProblem("namespace", namespace, limits.maxNameBytes, 1);
  // eslint-disable-next-line no-control-regex
  return problem ?? (/[\u0000-\u001f\u007f]/.test(namespace) ? "namespace: without control characters" : null);
}

export function tagProblem(tag: string): string | null {
  return textProblem("tag", tag, limits.maxTagBytes, 1);
}

export function putProblem({ condition, ifFence, key, namespace, tags, token, ttlMs, value }: CachePut): string | null {
  if (value !== null && value.length > limits.maxBodyBytes) return `value: ${limits.maxBodyBytes} bytes at most`;
  if (tags.length > limits.maxTags) return `tags: ${limits.maxTags} at most`;
  for (const tag of tags) {
    const problem = tagProblem(tag);
    if (problem !== null) return problem;
  }
  return (
    keyProblem(namespace, key) ??
    integerProblem("ttl_ms", ttlMs, limits.maxDurationMs) ??
    conditionProblem(condition) ??
    (token === null ? null : (integerProblem("token.version", token.version) ?? integerProblem("token.as_of", token.asOf))) ??
    fenceProblem(ifFence)
  );
}

export function deleteProblem({ condition, ifFence, key, namespace }: CacheDelete): string | null {
  return keyProblem(namespace, key) ?? conditionProblem(condition) ?? fenceProblem(ifFence);
}

export function incrementProblem({ by, ifFence, key, namespace, ttlMs }: CacheIncrement): string | null {
  return (
    keyProblem(namespace, key) ??
    integerProblem("by", by, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER) ??
    integerProblem("ttl_ms", ttlMs, limits.maxDurationMs) ??
    fenceProblem(ifFence)
  );
}

function conditionProblem(condition: WriteCondition): string | null {
  return condition.type === "version" ? integerProblem("if_version", condition.version) : null;
}

function fenceProblem(ifFence: CachePut["ifFence"]): string | null {
  if (ifFence === null) return null;
  return textProblem("if_fence.lock", ifFence.lock, limits.maxNameBytes, 1) ?? integerProblem("if_fence.fence", ifFence.fence);
}

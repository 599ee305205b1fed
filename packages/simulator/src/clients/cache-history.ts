import type { Operation } from "../checkers/history.ts";
import type { CacheInput, CacheOutput } from "../checkers/models/cached-value.ts";

export interface CacheOperation {
  readonly id: string;
  readonly input: CacheInput;
  readonly call: number;
  output: CacheOutput | null;
  ret: number | null;
  /** Told that nothing happened. */
  refused: boolean;
  /** Nobody waits for it any more. */
  abandoned: boolean;
}

/** What clients of the cache asked and were told. */
export class CacheHistory {
  readonly operations: CacheOperation[] = [];

  /** The log ended a value: at any time from here on, as callers see it. */
  ended(key: string, version: number, at: number): void {
    const operation = this.begin("log", { type: "end", key, version }, at);
    operation.abandoned = true;
  }

  begin(client: string, input: CacheInput, call: number): CacheOperation {
    const id = `${client}-${this.operations.length + 1}-${input.type}`;
    const operation: CacheOperation = { id, input, call, output: null, ret: null, refused: false, abandoned: false };
    this.operations.push(operation);
    return operation;
  }

  /** What the checker reads: reads without an answer, and what did not happen, say nothing. */
  observed(): readonly Operation<CacheInput, CacheOutput>[] {
    return this.operations.filter(({ input, refused, ret }) => !refused && (ret !== null || input.type !== "get"));
  }
}

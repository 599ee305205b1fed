import { type CacheInvalidated, type CacheLoaded, type ClientFrame, encodeClientFrame } from "@trivet/wire";
import type { CommandStream } from "../command-stream.ts";
import { TrivetError } from "../errors.ts";
import type { Traces } from "../tracing/tracing.ts";

export type QuestionAnswer = CacheInvalidated | CacheLoaded;

/** What is asked of the node itself, beside the messages to homes: each is answered once, by the node that was asked, or not at all. */
export class NearQuestions {
  private readonly stream: CommandStream;
  private readonly open = new Map<number, (answer: QuestionAnswer | null) => void>();
  private requests = 0;

  constructor(stream: CommandStream) {
    this.stream = stream;
  }

  get isWaiting(): boolean {
    return this.open.size > 0;
  }

  /** Null = no answer. `pauseMs`: so long after which it is none where there is no node to ask. */
  ask(
    frame: (request: number) => ClientFrame | null,
    timeoutMs: number,
    pauseMs: number,
    traces: Traces = null,
    sent: () => void = () => {},
  ): Promise<QuestionAnswer | null> {
    return new Promise((resolve) => {
      const request = ++this.requests;
      const timer = setTimeout(() => this.answer(request, null), timeoutMs);
      this.open.set(request, (answer) => {
        clearTimeout(timer);
        resolve(answer);
      });
      const asked = frame(request);
      if (asked !== null && this.stream.send(this.stream.under(traces, encodeClientFrame(asked)))) sent();
      else setTimeout(() => this.answer(request, null), pauseMs);
    });
  }

  answered(answer: QuestionAnswer): void {
    this.answer(answer.request, answer);
  }

  /** Another node knows nothing of what was asked for here. */
  giveUp(): void {
    for (const request of this.open.keys()) this.answer(request, null);
  }

  private answer(request: number, answer: QuestionAnswer | null): void {
    const told = this.open.get(request);
    this.open.delete(request);
    told?.(answer);
  }
}

/** Throws unless it was loaded. */
export function loadRefusal(name: string, key: string, { detail, refusal }: QuestionAnswer): void {
  switch (refusal) {
    case "none":
      return;
    case "unknown":
      throw new TrivetError("namespace_unknown", `Cache namespace ${name} does not exist`);
    case "origin-unavailable":
      throw new TrivetError("origin_unavailable", `The origin of namespace ${name} cannot say what ${key} is: ${detail}`, {
        retryable: true,
      });
    case "full":
      throw new TrivetError("cache_full", `Namespace ${name} is full (${detail}); what its origin has of ${key} was not stored`);
    default:
      throw new TrivetError("bad_request", `Cache namespace ${name}: ${detail}`);
  }
}

export function unknownInvalidation(name: string): TrivetError {
  return new TrivetError(
    "commit_timeout",
    `No answer in time; the invalidation in namespace ${name} may have taken effect; send it again`,
    {
      retryable: true,
    },
  );
}

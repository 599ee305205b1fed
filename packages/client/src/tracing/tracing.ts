import type { TraceContext } from "@trivet/wire";

export type SpanAttributes = Readonly<Record<string, string | number>>;
/** Which traces something goes under; null = none. */
export type Traces = readonly TraceContext[] | null;

/** One piece of work, until it is ended. */
export interface ClientSpan {
  /** What goes with what it asks of the cluster. */
  readonly traces: Traces;
  /** What `work` begins belongs to it, also spans of other libraries. */
  run<T>(work: () => T): T;
  /** It is about something that was made in that trace. */
  link(trace: TraceContext): void;
  /** `error`: why it failed; null = it did not. */
  end(attributes: SpanAttributes, error: unknown): void;
}

/** Spans of a connection's work (docs/decisions/0034-spans-of-streams.md). */
export interface ClientTracing {
  /** Somebody records them. While it is false nothing else of this is asked, and nothing is made for it. */
  readonly isOn: boolean;
  /** Looks again whether somebody does. */
  refresh(): void;
  /** Which trace the program is in at the moment; null = none. */
  current(): TraceContext | null;
  /** `parent`: what the program does at the moment (`caller`), something of another process, or nothing. */
  begin(
    kind: "client" | "producer" | "consumer",
    name: string,
    attributes: SpanAttributes,
    parent: "caller" | "none" | TraceContext,
  ): ClientSpan;
}

const noSpan: ClientSpan = { traces: null, run: (work) => work(), link: () => undefined, end: () => undefined };
const noTracing: ClientTracing = { isOn: false, refresh: () => undefined, current: () => null, begin: () => noSpan };

/**
 * By the OpenTelemetry API that the program has; without one there is nothing to record with. It is looked for here and not imported above, as nobody has to
 * install it.
 */
export async function tracingOf(
  isWanted: boolean,
  load: () => Promise<{ readonly OpenTelemetry: new () => ClientTracing }> = () => import("./open-telemetry.ts"),
): Promise<ClientTracing> {
  if (!isWanted) return noTracing;
  try {
    const { OpenTelemetry } = await load();
    return new OpenTelemetry();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_MODULE_NOT_FOUND") throw error;
    return noTracing;
  }
}

/** The outcome of the work, after the span has ended with it. */
export function ended<T>(span: ClientSpan | null, work: Promise<T>, told: (value: T) => SpanAttributes): Promise<T> {
  if (span === null) return work;
  return work.then(
    (value) => {
      span.end(told(value), null);
      return value;
    },
    (error: unknown) => {
      span.end({}, error ?? String(error));
      throw error;
    },
  );
}

import type { TraceContext } from "@trivet/wire";
import type { Spans } from "../ports/spans.ts";

/**
 * Which trace a frame or message on its way belongs to. It is known by the object: the same one goes from whoever gave it to the log, or to a peer, and
 * again after a change of leaders; nothing of a trace is in it.
 */
export class Traces {
  readonly spans: Spans;
  private readonly known = new WeakMap<object, TraceContext>();

  constructor(spans: Spans) {
    this.spans = spans;
  }

  /** One look where nobody traces: before everything else here. */
  get isOn(): boolean {
    return this.spans.isOn;
  }

  /** It is of the trace of what runs now, unless it was of another before. */
  note(thing: object): void {
    if (this.known.has(thing)) return;
    const trace = this.current;
    if (trace !== null) this.known.set(thing, trace);
  }

  set(thing: object, trace: TraceContext): void {
    this.known.set(thing, trace);
  }

  /** `to` is what becomes of `from`. */
  pass(from: object, to: object): void {
    const trace = this.known.get(from);
    if (trace !== undefined) this.known.set(to, trace);
  }

  /** What it was noted under, or what runs now belongs to. */
  of(thing: object): TraceContext | null {
    return this.known.get(thing) ?? this.current;
  }

  /** Of what runs now. One that is not recorded is as good as none: it must not take the place of one that is. */
  get current(): TraceContext | null {
    const trace = this.spans.current();
    return trace?.flags === 1 ? trace : null;
  }
}

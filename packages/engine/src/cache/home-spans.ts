import type { HolderId, HolderMessage, HomeMessage } from "@trivet/wire";
import type { Traces } from "../base/traces.ts";
import type { OpenSpan } from "../ports/spans.ts";

/** What is asked of one home and has a span; of more the oldest one's ends. */
const maxOpen = 1024;
/** Nobody waits for an answer so long: whoever asked is gone, or has asked another home. */
const longestMs = 60_000;

interface Open {
  readonly span: OpenSpan;
  readonly at: number;
}

/** Spans of what holders and callers ask of a home, from its coming to its answer: beside the log it is copies elsewhere that a write waits for. */
export class HomeSpans {
  private readonly group: number;
  private readonly traces: Traces;
  /** In the order in which they were begun. */
  private readonly open = new Map<string, Open>();

  constructor(group: number, traces: Traces) {
    this.group = group;
    this.traces = traces;
  }

  heard(from: HolderId, message: HolderMessage, now: number): void {
    if (!this.traces.isOn || (message.type !== "fetch" && message.type !== "write")) return;
    const name = nameOf(from, message);
    const known = this.open.get(name);
    if (known !== undefined) {
      // Said again, for want of an answer; which copy of a write goes into the log is not known here.
      if (message.type === "write") this.traces.set(message.command, known.span.trace);
      return;
    }
    const span = this.begin(`home.${message.type}`, message);
    if (span === null) return;
    if (message.type === "write") this.traces.set(message.command, span.trace);
    this.open.set(name, { span, at: now });
    if (this.open.size > maxOpen) this.endOldest();
  }

  said(to: HolderId, message: HomeMessage): void {
    if (this.open.size === 0 || (message.type !== "data" && message.type !== "done")) return;
    const name = nameOf(to, message);
    const known = this.open.get(name);
    if (known === undefined) return;
    this.open.delete(name);
    known.span.end({ "trivet.outcome": "answered", "trivet.grant": message.grant }, null);
  }

  /** What was not answered may never be. */
  tick(now: number): void {
    for (const { at } of this.open.values()) {
      if (now - at < longestMs) return;
      this.endOldest();
    }
  }

  /** The same of a call, whose command takes its place in the trace. */
  call<A>(name: string, command: Uint8Array, told: (answer: A | null) => void): (answer: A | null) => void {
    if (!this.traces.isOn) return told;
    const span = this.begin(name, command);
    if (span === null) return told;
    this.traces.set(command, span.trace);
    return (answer) => {
      span.end({ "trivet.outcome": answer === null ? "deposed" : "answered" }, answer === null ? "deposed" : null);
      told(answer);
    };
  }

  /** Whoever waits asks the next home. */
  deposed(): void {
    for (const { span } of this.open.values()) span.end({ "trivet.outcome": "deposed" }, "deposed");
    this.open.clear();
  }

  private begin(name: string, thing: object): OpenSpan | null {
    const parent = this.traces.of(thing);
    return parent === null ? null : this.traces.spans.begin(name, parent, { "trivet.group": this.group });
  }

  private endOldest(): void {
    for (const [name, { span }] of this.open) {
      this.open.delete(name);
      return span.end({ "trivet.outcome": "unknown" }, null);
    }
  }
}

/** A holder counts its transactions through all its lives. */
const nameOf = (holder: HolderId, { txn }: { readonly txn: number }): string => `${txn} ${holder}`;

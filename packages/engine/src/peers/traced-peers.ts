import type { NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { TraceContext } from "@trivet/wire";
import type { NodeHost } from "../node/node-host.ts";
import type { PeerMessage } from "./peer-frames.ts";

export const readsTracesMethod = "reads-traces";

/** One that gave no answer is asked again after so long: it is of a version of before, or the question was lost. */
const askAgainMs = 30_000;

interface Asked {
  /** Of the process: the next one under this name may be of another version. */
  readonly incarnation: string;
  readonly at: number;
  reads: boolean;
}

/**
 * Under which trace a message goes to another node. That is told only to processes that said they read it: for one of a version of before it is no message, and
 * its link would end. They are asked by a call, as the handshake is part of the key of each link; and by nodes that trace alone.
 */
export class TracedPeers {
  private readonly host: NodeHost;
  private readonly asked = new Map<NodeId, Asked>();

  constructor(host: NodeHost) {
    this.host = host;
  }

  /** Called now and then. */
  ask(now: number): void {
    const { calls, hub, traces } = this.host;
    if (!traces.isOn) return;
    for (const node of hub.connected()) {
      const incarnation = hub.helloOf(node)?.incarnation ?? "";
      const before = this.asked.get(node);
      if (before?.incarnation === incarnation && (before.reads || now < before.at + askAgainMs)) continue;
      const asked: Asked = { incarnation, at: now, reads: false };
      this.asked.set(node, asked);
      calls.call(node, readsTracesMethod, null, (answer) => {
        asked.reads = answer === true;
      });
    }
  }

  under(to: NodeId, message: PeerMessage): PeerMessage {
    if (message.type === "traced") return message;
    const trace = this.traceOf(message);
    return trace === null || !this.reads(to) ? message : { type: "traced", trace, message };
  }

  private reads(node: NodeId): boolean {
    const asked = this.asked.get(node);
    const isTold = asked?.reads === true && asked.incarnation === this.host.hub.helloOf(node)?.incarnation;
    return isTold || mutant("host-traced-unasked");
  }

  /** What a caller waits for. All else is nobody's, or has its place in the log. */
  private traceOf(message: PeerMessage): TraceContext | null {
    const { traces } = this.host;
    if (message.type === "forward" || message.type === "forward-answer") return traces.of(message.frame);
    if (message.type === "call") return traces.current;
    const isAsked = message.type === "to-home" || message.type === "program-to-home";
    return isAsked && (message.message.type === "fetch" || message.message.type === "write") ? traces.of(message.message) : null;
  }
}

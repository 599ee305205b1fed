/** Signals that are a command's business, not ours. */
export const passedSignals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
export type PassedSignal = (typeof passedSignals)[number];

/** The same signal again within this time is the same one: npm and others pass on what the command's group was sent already. */
const repeatMs = 1_000;

/**
 * What a command is sent for the signals that we get: the first as it is, for the second SIGTERM, or SIGKILL after a SIGTERM, then SIGKILL. The keys of a
 * terminal (Ctrl-C, Ctrl-\) reach the command by themselves, and what it makes of them is its own business: a client of a database ends a query.
 */
export class SignalLadder {
  private readonly onTerminal: boolean;
  private readonly now: () => number;
  private last: { readonly signal: PassedSignal; readonly at: number } | null = null;
  private sent: NodeJS.Signals | null = null;

  constructor(onTerminal: boolean, now: () => number = () => performance.now()) {
    this.onTerminal = onTerminal;
    this.now = now;
  }

  /** Null = nothing is sent. */
  next(came: PassedSignal): NodeJS.Signals | null {
    if (this.onTerminal && (came === "SIGINT" || came === "SIGQUIT")) return null;
    const { last } = this;
    const at = this.now();
    if (last !== null && last.signal === came && at - last.at < repeatMs) return null;
    this.last = { signal: came, at };
    this.sent = this.sent === null ? came : this.sent === "SIGTERM" || this.sent === "SIGKILL" ? "SIGKILL" : "SIGTERM";
    return this.sent;
  }
}

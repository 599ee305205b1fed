import type { ReleaseCause } from "@trivet/core";
import type { LockMode } from "@trivet/wire";

import type { GoldenLog, LoggedEvent } from "../watch/golden-log.ts";

export interface ModeStretch {
  readonly mode: LockMode;
  readonly from: number;
  to: number;
}

/** One hold as the log has it. Positions are orders of apply; `at` times are when the entry was first known committed. */
export interface LoggedHold {
  readonly name: string;
  readonly owner: string;
  readonly session: number;
  readonly fence: number;
  readonly grantedAt: number;
  readonly order: number;
  readonly modes: ModeStretch[];
  endOrder: number;
  endAt: number | null;
  cause: ReleaseCause | "upgraded" | null;
}
export interface LoggedWait {
  readonly name: string;
  readonly owner: string;
  readonly session: number;
  readonly mode: LockMode;
  readonly order: number;
  readonly upgrade: boolean;
  grantedOrder: number | null;
  endOrder: number | null;
}

/** The life of all locks, put together from the events and answers of the committed log. */
export class LockChronicle {
  readonly holds: LoggedHold[] = [];
  readonly waits: LoggedWait[] = [];
  readonly byFence: Map<number, LoggedHold> = new Map();
  /** Which request each fresh fence was granted to. */
  readonly requestOf: Map<number, string> = new Map();
  /** Fences named in events that belong to no request's answer. */
  readonly unclaimed: LoggedEvent[] = [];
  private readonly golden: GoldenLog;
  private readonly open = new Map<string, LoggedWait>();

  constructor(golden: GoldenLog) {
    this.golden = golden;
    const downgrades: { order: number; fence: number; mode: LockMode }[] = [];
    for (const { key, result, order } of golden.grants) {
      const type = golden.commands.get(key)?.command?.type;
      if (type === "downgrade") downgrades.push({ order: this.effectOrder(key, order), fence: result.fence, mode: result.mode });
      else if (type === "upgrade" || result.depth === 1) {
        this.claim(result.fence, key);
        for (const more of result.more) this.claim(more.fence, key);
      }
    }
    downgrades.sort((a, b) => a.order - b.order);
    for (const event of golden.events) {
      for (let next = downgrades[0]; next !== undefined && next.order < event.order; next = downgrades[0]) {
        downgrades.shift();
        this.weaken(next.fence, next.mode, next.order);
      }
      this.note(event);
    }
    for (const { fence, mode, order } of downgrades) this.weaken(fence, mode, order);
  }

  /** A downgrade answers after it has let others in; it took effect before the first of them. */
  private effectOrder(key: string, answerOrder: number): number {
    const command = this.golden.commands.get(key)?.command;
    if (command?.type !== "downgrade") return answerOrder;
    const index = this.golden.answers.get(key)?.index;
    const first = this.golden.events.find(
      ({ event, index: at, order }) =>
        at === index && order < answerOrder && event.type === "lock-granted" && event.name === command.name && event.fence > command.fence,
    );
    return first === undefined ? answerOrder : first.order - 0.5;
  }

  private claim(fence: number, request: string): void {
    if (!this.requestOf.has(fence)) this.requestOf.set(fence, request);
  }

  private note(logged: LoggedEvent): void {
    const { event, order, at } = logged;
    switch (event.type) {
      case "lock-granted":
        this.granted(logged, event);
        break;
      case "lock-released": {
        const hold = this.byFence.get(event.fence);
        if (hold !== undefined && hold.cause === null) this.close(hold, order, at, event.cause);
        break;
      }
      case "lock-waiting": {
        const upgrade = this.holds.some(
          (hold) => hold.cause === null && hold.name === event.name && hold.owner === event.owner && hold.session === event.session,
        );
        const wait: LoggedWait = {
          name: event.name,
          owner: event.owner,
          session: event.session,
          mode: event.mode as LockMode,
          order,
          upgrade,
          grantedOrder: null,
          endOrder: null,
        };
        this.waits.push(wait);
        this.open.set(waitKey(event), wait);
        break;
      }
      case "wait-ended": {
        const wait = this.open.get(waitKey(event));
        if (wait !== undefined) wait.endOrder = order;
        this.open.delete(waitKey(event));
        break;
      }
      case "session-opened":
      case "session-ended":
      case "queue-defined":
      case "queue-deleted":
      case "namespace-defined":
      case "namespace-deleted":
      case "placement-changed":
      case "level-raised":
      case "node-draining":
        break;
      default:
        event satisfies never;
    }
  }

  private granted(logged: LoggedEvent, event: LoggedEvent["event"] & { readonly type: "lock-granted" }): void {
    const { order, at } = logged;
    const request = this.requestOf.get(event.fence);
    const command = request === undefined ? null : (this.golden.commands.get(request)?.command ?? null);
    if (request === undefined) this.unclaimed.push(logged);
    if (command?.type === "upgrade") {
      const old = this.holds.find(
        (hold) =>
          hold.cause === null &&
          hold.name === event.name &&
          hold.owner === event.owner &&
          hold.session === event.session &&
          (command.fence === 0 || hold.fence === command.fence),
      );
      if (old !== undefined) this.close(old, order, at, "upgraded");
    }
    const mode = event.mode as LockMode;
    const hold: LoggedHold = {
      name: event.name,
      owner: event.owner,
      session: event.session,
      fence: event.fence,
      grantedAt: at,
      order,
      modes: [{ mode, from: order, to: Number.POSITIVE_INFINITY }],
      endOrder: Number.POSITIVE_INFINITY,
      endAt: null,
      cause: null,
    };
    this.holds.push(hold);
    this.byFence.set(event.fence, hold);
    const wait = this.open.get(waitKey(event));
    if (wait === undefined) {
      this.waits.push({ ...event, mode, order, upgrade: command?.type === "upgrade", grantedOrder: order, endOrder: null });
    } else {
      wait.grantedOrder = order;
      this.open.delete(waitKey(event));
    }
  }

  private weaken(fence: number, mode: LockMode, order: number): void {
    const hold = this.byFence.get(fence);
    const last = hold?.modes.at(-1);
    if (hold === undefined || last === undefined || hold.cause !== null) return;
    last.to = order;
    hold.modes.push({ mode, from: order, to: Number.POSITIVE_INFINITY });
  }

  private close(hold: LoggedHold, order: number, at: number, cause: LoggedHold["cause"]): void {
    hold.endOrder = order;
    hold.endAt = at;
    hold.cause = cause;
    const last = hold.modes.at(-1);
    if (last !== undefined) last.to = order;
  }
}

function waitKey(event: { readonly name: string; readonly owner: string; readonly session: number }): string {
  return `${event.name}|${event.session}|${event.owner}`;
}

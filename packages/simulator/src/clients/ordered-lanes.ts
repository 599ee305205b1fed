import { CallerLanes, decodeShardAnswer, type LaneFrame, OrderedFrames, readFrameHeader } from "@trivet/wire";

import type { QueueOperation } from "./queue-history.ts";
import type { VirtualClient } from "./virtual-client.ts";

interface Open {
  readonly operation: QueueOperation;
  /** Its caller was told that nobody knows. */
  isUnknown: boolean;
}

const unknownRetryMs = 1_000;

/** What the SDK does with its ordered commands to one shard (`GroupCommands`), under virtual time. */
export class OrderedLanes {
  private readonly client: VirtualClient;
  private readonly isConnected: () => boolean;
  private readonly send: (caller: string, frame: Uint8Array) => void;
  private readonly lanes: CallerLanes<Open>;
  private readonly order = new OrderedFrames();
  private callers = 0;
  private gaps = 0;
  private heardAt = 0;

  constructor(client: VirtualClient, isConnected: () => boolean, send: (caller: string, frame: Uint8Array) => void) {
    this.client = client;
    this.isConnected = isConnected;
    this.send = send;
    // Small, so that lanes follow each other.
    const window = client.prng.pick([8, 64, 1_024]);
    const names = client.prng.below(1_000_000);
    this.lanes = new CallerLanes({ newCaller: () => `${client.name}-${names}-${++this.callers}`, ordersProduces: true, window });
  }

  get openCount(): number {
    return this.lanes.openCount;
  }

  /** How long nothing was heard while something is open. */
  get silentFor(): number {
    return this.openCount === 0 ? 0 : this.client.localNow() - this.heardAt;
  }

  firstSequenceOf(frame: Uint8Array): number {
    return readFrameHeader(frame).firstSequence;
  }

  submit(operation: QueueOperation, timeoutMs: number, groupOffset: number): void {
    const deadline = this.client.localNow() + timeoutMs;
    if (this.openCount === 0) this.heardAt = this.client.localNow();
    const sequence = this.lanes.submit(operation.command, Math.floor(deadline + groupOffset), deadline, { operation, isUnknown: false });
    if (sequence === 0) {
      operation.refused = true;
      return;
    }
    operation.caller = this.lanes.caller;
    operation.sequence = sequence;
  }

  endTurn(): void {
    this.lanes.collect((frame) => this.order.add(frame));
    this.sendOrdered();
  }

  reconnected(): void {
    this.heardAt = this.client.localNow();
    this.order.restart();
    this.sendOrdered();
  }

  refused(caller: string, firstSequence: number, retryAfterMs: number): void {
    const frame = this.lanes.unansweredFrame(caller, firstSequence);
    if (frame === undefined) return;
    frame.sends -= 1;
    this.hold(frame, retryAfterMs);
  }

  answered(caller: string, sequence: number, bytes: Uint8Array): void {
    const { client } = this;
    if (!this.lanes.isOpen(caller, sequence)) return;
    this.heardAt = client.localNow();
    const answer = decodeShardAnswer(bytes);
    if (answer.type === "refused" && answer.reason === "out-of-order") {
      client.world.totals.add("ordered gaps");
      return this.hold(null, 10 * 2 ** Math.min(this.gaps++, 7));
    }
    this.gaps = 0;
    const context = this.lanes
      .due(Number.POSITIVE_INFINITY)
      .find((one) => one.frame.caller === caller && one.sequence === sequence)?.context;
    if (context?.isUnknown === true && answer.type !== "refused") this.lanes.giveUp(caller, sequence);
    else this.lanes.answer(caller, sequence);
    if (context !== undefined && !context.isUnknown) {
      const { operation } = context;
      // The SDK sends it again under another name, which is another story.
      if (answer.type === "not-configured") operation.refused = true;
      else {
        operation.ret = client.world.clock.now();
        operation.result = answer;
        client.world.answered(operation.id, answer.type);
      }
    }
    if (this.order.isWaiting) this.sendOrdered();
  }

  tick(): void {
    this.lanes.closeFrames();
    const now = this.client.localNow();
    for (const { context, frame, sequence } of this.lanes.due(now)) {
      if (frame.sends === 0) this.withdraw(frame);
      else {
        this.client.world.totals.add("ordered unknown");
        context.isUnknown = true;
        context.operation.abandoned = true;
        this.lanes.postpone(frame.caller, sequence, now + unknownRetryMs);
        this.hold(null, 10);
      }
    }
  }

  private withdraw({ caller, count, firstSequence }: LaneFrame): void {
    for (let sequence = firstSequence; sequence < firstSequence + count; sequence += 1) {
      const command = this.lanes.takeBack(caller, sequence);
      if (command !== undefined && !command.context.isUnknown) command.context.operation.refused = true;
    }
    if (this.order.isWaiting) this.sendOrdered();
  }

  private hold(from: LaneFrame | null, pauseMs: number): void {
    if (!this.order.hold(from)) return;
    this.client.after(Math.min(1_000, Math.max(10, pauseMs)) * (0.75 + this.client.prng.next() / 4), () => {
      this.order.release();
      this.sendOrdered();
    });
  }

  private sendOrdered(): void {
    if (!this.isConnected()) return;
    for (const frame of this.order.take()) {
      this.lanes.refresh(frame);
      frame.sends += 1;
      if (frame.sends > 1) this.client.world.totals.add("ordered frames sent again");
      this.send(frame.caller, frame.bytes);
    }
  }
}

import type { ShardAnswer, SystemView } from "@trivet/core";
import type { ShardCommand } from "@trivet/wire";

type Fence = { readonly lock: string; readonly fence: number };

/**
 * Rule K5 as it may be seen from outside: of each entry of a shard's log at the moment it is known to be committed, beside what group 0's log says until then. No
 * node knows more of group 0 than that, and who acts upon a grant has heard of it from one.
 */
export class FenceWatch {
  private readonly shard: number;
  private readonly group0: SystemView;
  private readonly fail: (invariant: string, detail: string) => void;
  /** By lock: the highest fence that was accepted. */
  private readonly accepted = new Map<string, number>();

  constructor(shard: number, group0: SystemView, fail: (invariant: string, detail: string) => void) {
    this.shard = shard;
    this.group0 = group0;
    this.fail = fail;
  }

  judge(command: ShardCommand, answer: ShardAnswer, index: number): void {
    if (command.type === "fence-floor" && answer.type !== "malformed") this.judgeFloor(command.fence, index);
    const fence = fenceOf(command);
    if (fence === null) return;
    const entry = `entry ${index} of shard ${this.shard}: a ${command.type} under fence ${fence.fence} of ${fence.lock}`;
    if (answer.type === "fence-behind") {
      if (this.group0.isHeld(fence.lock, fence.fence)) {
        this.fail("fence-live-refused", `${entry} was refused for ${answer.highest}, and the lock is held with it`);
      }
      return;
    }
    if (!isDone(answer)) return;
    const highest = this.accepted.get(fence.lock) ?? 0;
    if (fence.fence < highest) this.fail("fence-behind-accepted", `${entry} was accepted after ${highest}`);
    this.accepted.set(fence.lock, Math.max(highest, fence.fence));
  }

  private judgeFloor(floor: number, index: number): void {
    let lowest = this.group0.lastFence + 1;
    for (const { holders } of this.group0.locks("", "", Number.MAX_SAFE_INTEGER).locks) {
      for (const { fence } of holders) lowest = Math.min(lowest, fence);
    }
    if (floor > lowest)
      this.fail(
        "fence-floor-above-live",
        `entry ${index} of shard ${this.shard} raises the floor to ${floor}; ${lowest} is live or yet to be given`,
      );
  }
}

function fenceOf(command: ShardCommand): Fence | null {
  if (command.type === "raise-fence") return command;
  return "ifFence" in command ? command.ifFence : null;
}

/** What else may be answered says nothing of the fence. */
function isDone({ type }: ShardAnswer): boolean {
  return type === "produced" || type === "counted" || type === "cache-written" || type === "cache-deleted" || type === "cache-conflict";
}

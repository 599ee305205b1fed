import { MemoryClock, queuesConformance } from "@trivet/engine";
import { describe, expect, test } from "vitest";
import { Shards } from "../shards/support.ts";
import { underVirtualTime } from "./virtual-time.ts";

let clock = new MemoryClock();
const api = underVirtualTime(test, expect, () => clock);

describe("queues in the shards of three nodes, asked at a follower of most", () => {
  queuesConformance(api, { ifFence: true }, async () => {
    const shards = new Shards();
    shards.untilLed();
    clock = shards.cluster.clock;
    const { host, view } = shards.cluster.member("n2");
    return {
      queues: host.queues,
      sleep: (ms) => new Promise((resolve) => void view.schedule(ms, resolve)),
      wallNow: () => host.groupTime.now(),
    };
  });
});

import type { TestApi } from "./api.ts";
import { administrationConformance } from "./queues/administration.ts";
import { conservationConformance } from "./queues/conservation.ts";
import { QueueKit, type QueuesAbilities, type QueuesHarness, type QueueTest } from "./queues/kit.ts";
import { orderConformance } from "./queues/order.ts";
import { fenceConformance, producingConformance } from "./queues/producing.ts";
import { settlingConformance } from "./queues/settling.ts";
import { waitingConformance } from "./queues/waiting.ts";

/**
 * What every QueuesApi must do, whichever storage is below it. `make` is called once per test; the harness it gives may be the same each time.
 * `can` says what only the embedded storage promises.
 */
export function queuesConformance(api: TestApi, can: QueuesAbilities, make: () => Promise<QueuesHarness>): void {
  const test: QueueTest = (name, settings, body) =>
    api.test(name, async () => {
      const kit = new QueueKit(api, await make());
      const defined = await kit.define(settings, "create");
      api.equal(defined.type === "defined" && defined.created, true);
      await body(kit);
    });
  orderConformance(api, test);
  settlingConformance(api, test);
  producingConformance(api, test);
  waitingConformance(api, test);
  administrationConformance(api, test);
  conservationConformance(api, test);
  if (can.ifFence) fenceConformance(api, test);
}

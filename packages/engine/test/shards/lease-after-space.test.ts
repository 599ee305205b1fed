import { expect } from "vitest";
import { guard } from "../hosts/guard.ts";
import { commandEntry, MachineRig } from "./store-rig.ts";
import { consumption, definition, message } from "./support.ts";

/** What is due at an attended time. */
function dueAt(bench: MachineRig, attended: number): number | null {
  let due: number | null = null;
  bench.machine.ask({ type: "due", group: 1, attended, most: 10 } as never, (reply) => {
    if (reply.type === "due") due = reply.leases.length;
  });
  bench.settle();
  return due;
}

for (const inPart of [false, true])
  guard(
    "shard-lease-from-first-try",
    `the lease of a message whose hand-out is told late for want of space begins then (rule L3${inPart ? "; a part of the batch was applied" : ""})`,
    () => {
      const bench = new MachineRig(1);
      const told: string[] = [];
      const apply = (from: number, ...commands: Parameters<typeof commandEntry>[1][]): void => {
        const batch = commands.map((command, at) => commandEntry(from + at, command));
        bench.machine.apply(batch as never, {} as never, () => told.push(`applied ${from + batch.length - 1}`));
        bench.settle();
      };
      bench.machine.ask({ type: "lead", group: 1, leads: true } as never, () => undefined);
      const messages = [message("a"), message("b")];
      apply(
        1,
        { type: "configure-queue", queue: 1, definition },
        { type: "produce", queue: 1, partition: 0, version: 1, messages, ifFence: null },
      );
      // With nothing in memory the first entry finds room there, and only the second needs space.
      if (inPart) bench.machine.ask({ type: "flush", group: 1 } as never, () => undefined);
      bench.settle();
      bench.rig.problems.full = true;
      apply(3, consumption(1, { visibilityMs: 30_000 }), consumption(1, { visibilityMs: 30_000 }));
      expect(told).toEqual(["applied 2"]);
      bench.attended = 60_000;
      bench.rig.problems.full = false;
      bench.retry();
      expect(told).toEqual(["applied 2", "applied 4"]);
      expect(dueAt(bench, 60_000)).toBe(0);
      expect(dueAt(bench, 90_000)).toBe(0);
      expect(dueAt(bench, 90_400)).toBe(2);
    },
  );

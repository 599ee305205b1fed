import type { QueueView } from "@trivet/core";
import { clipText, limits } from "@trivet/wire";
import type { Call, PartitionCommands, PartitionOutcome } from "./partition-commands.ts";
import type { QueueDirectory } from "./queue-directory.ts";
import type { QueueNames } from "./queue-names.ts";
import type { QueueFailure, Settled, SettleRequest } from "./queues-api.ts";
import { type ReceiptParts, parseReceipt } from "./receipts.ts";

type Fate = Settled["outcomes"][number];
/** Receipts of one group and partition, with their places in the request. */
interface Share {
  readonly queue: QueueView;
  readonly receipts: ReceiptParts[];
  readonly places: number[];
}

/** Receipts to their partitions, one command to each group and partition; each receipt is decided by itself. */
export class Settling {
  private readonly commands: PartitionCommands;
  private readonly names: QueueNames;
  private readonly directory: QueueDirectory;

  constructor(commands: PartitionCommands, names: QueueNames, directory: QueueDirectory) {
    this.commands = commands;
    this.names = names;
    this.directory = directory;
  }

  settle(request: SettleRequest, call: Call, done: (outcome: Settled | QueueFailure) => void): void {
    const parsed = request.receipts.map(parseReceipt);
    if (request.queue !== null) {
      return this.names.with(request.queue, false, call, done, (queue) => {
        const mine = parsed.map((receipt) => (receipt?.queue === queue.queue ? receipt : null));
        this.send(request, mine, call, done);
      });
    }
    if (parsed.every((receipt) => receipt === null || this.directory.byNumber(receipt.queue) !== null)) {
      return this.send(request, parsed, call, done);
    }
    // It may have been defined through another node just now.
    return this.directory.refresh(this.commands.left(call), (fresh) =>
      fresh.type === "ready" ? this.send(request, parsed, call, done) : done(fresh),
    );
  }

  private send(
    request: SettleRequest,
    parsed: readonly (ReceiptParts | null)[],
    call: Call,
    done: (outcome: Settled | QueueFailure) => void,
  ): void {
    const fates: Fate[] = parsed.map((receipt) => (receipt === null ? "foreign" : "unknown"));
    const shares = this.shares(parsed, fates);
    const outcomes: PartitionOutcome[] = [];
    if (shares.length === 0) return done({ type: "settled", outcomes: fates });
    shares.forEach(({ queue, receipts, places }, number) => {
      const [first] = receipts;
      if (first === undefined) return;
      const { settlement, delayMs } = request;
      const reason = clipText(request.reason, limits.maxDetailBytes);
      const named = receipts.map(({ partition, sequence, acquired, incarnation }) => ({ partition, sequence, acquired, incarnation }));
      const command = { type: "settle", queue: queue.queue, group: first.group, settlement, delayMs, reason, receipts: named } as const;
      this.commands.submit(queue, first.partition, command, call, String(number), (outcome) => {
        outcomes.push(outcome);
        const settled = outcome.type === "answered" && outcome.result.type === "settled" ? outcome.result.outcomes : [];
        // A group or a queue that is gone has taken its leases along.
        const otherwise: Fate = outcome.type === "gone" || outcome.type === "no-group" ? "unknown" : "unknown-fate";
        places.forEach((place, at) => (fates[place] = settled[at] ?? otherwise));
        if (outcomes.length === shares.length) done(joined(outcomes, fates));
      });
    });
  }

  /** Sets the fate of those that no partition need be asked for. */
  private shares(parsed: readonly (ReceiptParts | null)[], fates: Fate[]): readonly Share[] {
    const shares = new Map<string, Share>();
    parsed.forEach((receipt, place) => {
      const queue = receipt === null ? null : this.directory.byNumber(receipt.queue);
      if (receipt === null || queue === null) return;
      if (receipt.partition >= queue.definition.partitions) {
        fates[place] = "foreign";
        return;
      }
      const name = `${receipt.queue}/${receipt.partition}/${receipt.group}`;
      let share = shares.get(name);
      if (share === undefined) shares.set(name, (share = { queue, receipts: [], places: [] }));
      share.receipts.push(receipt);
      share.places.push(place);
    });
    return [...shares.values()];
  }
}

/** A failure of all is a failure; of some it shows in their outcomes. */
function joined(outcomes: readonly PartitionOutcome[], fates: readonly Fate[]): Settled | QueueFailure {
  const failures = outcomes.flatMap((outcome) =>
    outcome.type === "answered" || outcome.type === "gone" || outcome.type === "no-group" ? [] : [outcome],
  );
  const first = failures.find(({ type }) => type === "unknown") ?? failures[0];
  return first !== undefined && failures.length === outcomes.length ? first : { type: "settled", outcomes: fates };
}

import { Prng, type SnapshotCursor, type SystemState } from "@trivet/core";
import { type Command, encodeEntryPayload } from "@trivet/wire";
import { Moves, smallAlphabet } from "./random.ts";
import { frameOf } from "./support.ts";

const alphabet = { ...smallAlphabet, names: ["k1", "k2", "k3", "k4"], principals: ["p", "q"] };

/** Random entries of several callers: fresh commands, repeats of earlier frames, frames that are too late. */
export class Traffic {
  readonly random: Prng;
  readonly moves: Moves;
  now = 1_000_000;
  private readonly sent: Uint8Array[] = [];
  private readonly next = new Map<string, number>();

  constructor(seed: number, names: readonly string[] = alphabet.names) {
    this.random = new Prng(seed);
    this.moves = new Moves(this.random, { ...alphabet, names });
  }

  entry(state: SystemState): Uint8Array {
    const { random } = this;
    this.now += random.chance(0.02) ? random.below(700_000) : random.below(2_000);
    const frames: Uint8Array[] = [];
    for (let left = random.between(1, 3); left > 0; left--) frames.push(this.frame(state));
    return encodeEntryPayload(this.now, frames);
  }

  private frame(state: SystemState): Uint8Array {
    const { random } = this;
    if (this.sent.length > 0 && random.chance(0.15)) return random.pick(this.sent.slice(-50));
    if (random.chance(0.03)) return frameOf("", 1, [this.leadersCommand(state)], { notAfter: this.now });
    const move = this.moves.next(state);
    if (move.type === "expire") return frameOf("", 1, [move.command], { notAfter: this.now });
    const caller = `caller-${random.below(6)}`;
    const first = this.next.get(caller) ?? 1;
    const commands = [move.command];
    while (random.chance(0.3)) commands.push(this.clientCommand(state));
    this.next.set(caller, first + commands.length);
    const ackedUpTo = Math.max(0, first - 1 - random.below(8));
    const frame = frameOf(caller, first, commands, { notAfter: this.now + random.below(60_000), ackedUpTo });
    this.sent.push(frame);
    return frame;
  }

  /** Nodes, and where the shards are. */
  private leadersCommand(state: SystemState): Command {
    const { random } = this;
    const node = random.pick(["n1", "n2", "n3"]);
    if (random.chance(0.4)) return { type: "set-node", node, storage: "s", url: `http://${random.below(9)}`, roles: "queue", voter: true };
    if (random.chance(0.3)) return { type: "drain-node", node, draining: random.chance(0.5) };
    const shards = [[node], random.chance(0.5) ? ["n1", "n2"] : ["n3"]];
    return { type: "set-placement", epoch: state.placement()?.epoch ?? 0, replication: 2, shards };
  }

  private queueCommand(): Command {
    const { random } = this;
    const name = random.pick(["q1", "q2", "q/3", "é"]);
    if (random.chance(0.3)) return { type: "delete-queue", name, principal: "p" };
    const settings = random.chance(0.5) ? {} : { backoffMs: random.below(3), paused: random.chance(0.5) };
    return { type: "define-queue", name, mode: random.pick(["create", "update", "ensure"]), settings, principal: "p" };
  }

  private clientCommand(state: SystemState): Command {
    if (this.random.chance(0.1)) return this.queueCommand();
    for (;;) {
      const move = this.moves.next(state);
      if (move.type === "command") return move.command;
    }
  }
}

/** Takes all chunks in random sizes, applying `between` in between. */
export function cut(cursor: SnapshotCursor, random: Prng, between: () => void): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (;;) {
    while (random.chance(0.6)) between();
    const chunk = cursor.next(random.between(1, 60));
    if (chunk === null) return chunks;
    chunks.push(chunk.slice());
  }
}

/** All chunks at once. */
export function wholeSnapshot(state: SystemState): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  const cursor = state.beginSnapshot();
  for (let chunk = cursor.next(1 << 20); chunk !== null; chunk = cursor.next(1 << 20)) chunks.push(chunk);
  return chunks;
}

/** The same bytes in other pieces. */
export function recut(chunks: readonly Uint8Array[], random: Prng): Uint8Array[] {
  const whole = Uint8Array.from(chunks.flatMap((chunk) => [...chunk]));
  const pieces: Uint8Array[] = [];
  for (let from = 0; from < whole.length;) {
    const to = Math.min(whole.length, from + random.between(1, 300));
    pieces.push(whole.subarray(from, to));
    from = to;
  }
  return pieces;
}

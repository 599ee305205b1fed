import { mutant } from "@trivet/core/mutation";
import { CodecError, CommandFrameBuilder, FrameCursor, type LineName, readFrameHeader, type ShardCommand } from "@trivet/wire";
import type { WorkerAnswer } from "../shards/worker-protocol.ts";
import { HomeRoutes } from "./home-routes.ts";

interface Proposed {
  readonly proposal: number;
  readonly route: string;
  /** Whose value it ends; null = it is none of the home's own ends. */
  readonly line: LineName | null;
  /** Of what the directory knows nothing of: who waits for it. */
  readonly applied?: () => void;
  /** Its command cannot be read, so its answer is of no kind. */
  readonly isMalformed: boolean;
}

/** What a home has given to its shard's log, in order, and how it hears what became of it. */
export class HomeProposals {
  readonly routes: HomeRoutes = new HomeRoutes();
  /** Of this home's own frames: nobody else hears what becomes of them. */
  private name = "";
  private sequence = 0;
  /** Not taken by the log yet. */
  private held: Uint8Array[] = [];
  /** By the caller and sequence of their frames; copies of a request, in the order of the log. */
  private readonly proposed = new Map<string, Proposed[]>();
  /** By the sequence of an own frame that is not proposed yet. */
  private readonly ends = new Map<number, LineName>();
  private readonly cursor = new FrameCursor();

  begin(name: string): void {
    this.name = name;
  }

  clear(): void {
    this.held = [];
    this.proposed.clear();
    this.ends.clear();
    this.routes.clear();
  }

  /** Something waits for the log to take it. */
  get hasHeld(): boolean {
    return this.held.length > 0;
  }

  /** A frame of the home's own. `ends`: the line whose value it ends. */
  ownFrame(command: ShardCommand, ends: LineName | null = null): Uint8Array {
    const builder = new CommandFrameBuilder();
    builder.begin("", this.name, 0, 0, ++this.sequence);
    builder.add(command);
    if (ends !== null) this.ends.set(this.sequence, ends);
    return builder.finish();
  }

  propose(proposal: number, frame: Uint8Array): void {
    const { caller, fingerprint, firstSequence, notAfter } = readFrameHeader(frame);
    // A frame without a caller is routed by its name.
    const route = caller === "" ? fingerprint : caller;
    const line = caller === "" ? (this.ends.get(firstSequence) ?? null) : null;
    if (line !== null) this.ends.delete(firstSequence);
    const place = placeOf(caller, firstSequence, fingerprint, notAfter);
    const proposed = { proposal, route, line, isMalformed: this.isMalformed(frame) };
    const copies = this.proposed.get(place);
    if (copies === undefined) this.proposed.set(place, [proposed]);
    else copies.push(proposed);
    this.routes.add(route);
    this.held.push(frame);
  }

  /** What concerns no copy, such as that an origin has caught up. `applied` is called by who hears of it; never when this is the home no longer. */
  proposeAside(command: ShardCommand, applied: () => void): void {
    const frame = this.ownFrame(command);
    const { fingerprint, firstSequence, notAfter } = readFrameHeader(frame);
    this.proposed.set(placeOf("", firstSequence, fingerprint, notAfter), [
      { proposal: 0, route: fingerprint, line: null, applied, isMalformed: false },
    ]);
    this.routes.add(fingerprint);
    this.held.push(frame);
  }

  /** While a transfer is under way, or too much is uncommitted, the log takes nothing: what is held goes in its order. */
  offer(enqueue: (frame: Uint8Array) => boolean): void {
    let taken = 0;
    while (taken < this.held.length && enqueue(this.held[taken] as Uint8Array)) taken++;
    if (taken > 0) this.held.splice(0, taken);
  }

  /**
   * Which proposal this is the answer to; null = none of this home's. Commands of queues do not come from here, and whoever knows a caller's name may
   * send one under the number of a write whose copies are withdrawn: the write itself is still to come.
   */
  answered({ caller, fingerprint, isCache, notAfter, sequence }: WorkerAnswer): Proposed | null {
    const place = placeOf(caller, sequence, fingerprint, notAfter);
    const copies = this.proposed.get(place);
    const first = copies?.[0];
    if (copies === undefined || first === undefined) return null;
    if (isCache !== true && !first.isMalformed && !mutant("cache-home-hears-queues")) return null;
    copies.shift();
    if (copies.length === 0) this.proposed.delete(place);
    this.routes.remove(first.route);
    return first;
  }

  private isMalformed(frame: Uint8Array): boolean {
    const { cursor } = this;
    try {
      cursor.open(frame);
      if (!cursor.next()) return true;
      cursor.decodeShard();
      return false;
    } catch (error) {
      if (error instanceof CodecError) return true;
      throw error;
    }
  }
}

function placeOf(caller: string, sequence: number, fingerprint: string, notAfter: number): string {
  return `${caller}/${sequence}/${notAfter}/${fingerprint}`;
}

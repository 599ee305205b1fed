import type { GroupId, NamespaceView, NodeId } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import { checkFrame, CodecError, FrameCursor, type HolderMessage, type HomeMessage } from "@trivet/wire";
import { rememberedPrograms } from "./limits.ts";
import type { ValuePacking } from "../ports/value-packing.ts";
import { isLine, lineOfKey, shardOfLine } from "./lines.ts";
import { plainRecord, plainValue } from "./packed-values.ts";
import type { ReadMessage } from "./program-reads.ts";

/** Told what homes say to one program. Values in it are views: not to be kept. */
export type ToldProgram = (group: GroupId, message: HomeMessage) => void;

/** Programs that hold copies of their own, as nodes do; this node passes on what they and the homes say to each other. */
export interface ProgramsApi {
  /** 0 = this node takes part in no shards. */
  readonly shards: number;
  /** As far as this node knows. */
  namespace(name: string): NamespaceView | null;
  /**
   * What is for the program comes here from now on, also when another stream had it. Until the returned function is called. `unpacks`: it reads compressed
   * values; else they are unpacked for it.
   */
  attach(program: string, told: ToldProgram, unpacks: boolean): () => void;
  /** To the home, or lost on the way; a `read` is answered here where it can be. Throws CodecError for what no program may say. */
  toHome(program: string, group: GroupId, message: HolderMessage): void;
}

export interface ProgramsOwner {
  readonly packing: ValuePacking;
  readonly self: NodeId;
  shards(): number;
  namespace(name: string): NamespaceView | null;
  connected(): readonly NodeId[];
  isUp(node: NodeId): boolean;
  toHome(program: string, group: GroupId, message: HolderMessage): void;
  /** Answers from what this node has, or gets; false = it is for the home. */
  read(program: string, group: GroupId, message: ReadMessage): boolean;
  toNode(node: NodeId, program: string, group: GroupId, message: HomeMessage): void;
}

/**
 * A relay and no holder: a node that answered for its programs' copies would have to be told by them before it acknowledged a withdrawal, and could be
 * paused while they read. So a program has its lease from the home itself, and a node between them can only lose messages. A program that keeps no copies needs no
 * lease, and is told what this node itself would read.
 */
export class Programs implements ProgramsApi {
  private readonly owner: ProgramsOwner;
  /** Programs connected to this node. */
  private readonly attached = new Map<string, ToldProgram>();
  /** Through whom each was heard last; the longest unheard is forgotten first. */
  private readonly routes = new Map<string, NodeId>();
  private readonly cursor = new FrameCursor();

  constructor(owner: ProgramsOwner) {
    this.owner = owner;
  }

  get shards(): number {
    return this.owner.shards();
  }

  namespace(name: string): NamespaceView | null {
    return this.owner.namespace(name);
  }

  attach(program: string, toldAsStored: ToldProgram, unpacks: boolean): () => void {
    const told = unpacks ? toldAsStored : this.unpacking(toldAsStored);
    this.attached.set(program, told);
    return () => {
      if (this.attached.get(program) === told) this.attached.delete(program);
    };
  }

  private unpacking(told: ToldProgram): ToldProgram {
    return (group, message) => {
      if (message.type !== "data" && message.type !== "done") return told(group, message);
      const record = plainRecord(this.owner.packing, message.record);
      // As good as lost: see `check`, which lets nothing in that cannot be unpacked.
      return record === null ? undefined : told(group, { ...message, record });
    };
  }

  toHome(program: string, group: GroupId, message: HolderMessage): void {
    if (!mutant("cache-program-unchecked")) this.check(group, message);
    if (message.type !== "read") this.owner.toHome(program, group, message);
    // Nobody reads by a copy there, so a quorum has to confirm it.
    else if (!this.owner.read(program, group, message)) this.owner.toHome(program, group, { ...message, type: "fetch", confirmed: true });
  }

  /** A home of this node has heard of it. */
  heard(program: string, through: NodeId): void {
    this.routes.delete(program);
    this.routes.set(program, through);
    if (this.routes.size <= rememberedPrograms) return;
    const [oldest] = this.routes.keys();
    if (oldest !== undefined) this.routes.delete(oldest);
  }

  /** A home of this node speaks: to where it was heard last, or else wherever it may be. What is lost is said again when it asks for more time. */
  send(program: string, group: GroupId, message: HomeMessage): void {
    const through = this.routes.get(program);
    if (through === this.owner.self && this.deliver(program, group, message)) return;
    if (through !== undefined && through !== this.owner.self && this.owner.isUp(through))
      return this.owner.toNode(through, program, group, message);
    this.deliver(program, group, message);
    for (const node of this.owner.connected()) this.owner.toNode(node, program, group, message);
  }

  /** False = it is not connected to this node. */
  deliver(program: string, group: GroupId, message: HomeMessage): boolean {
    const told = this.attached.get(program);
    told?.(group, message);
    return told !== undefined;
  }

  /**
   * What a home takes from nodes on trust: a line's own home, and one command of this very line. A frame of anything else would reach the log without
   * its copies withdrawn (rule M3).
   */
  private check(group: GroupId, message: HolderMessage): void {
    const { shards } = this;
    if (group < 1 || group > shards) throw new CodecError(`shard ${group} where there are ${shards}`);
    if (!("line" in message)) return;
    if (!isLine(message.line) && !mutant("cache-program-line-misspelled")) throw new CodecError("a line that is no namespace and key");
    if (shardOfLine(message.line, shards) !== group)
      throw new CodecError(`a line of shard ${shardOfLine(message.line, shards)} for ${group}`);
    if (message.type !== "write") return;
    const { command: frame, line } = message;
    if (checkFrame(frame).count !== 1) throw new CodecError("several commands for one line");
    this.cursor.open(frame);
    this.cursor.next();
    const command = this.cursor.decodeShard();
    const isWrite = command.type === "cache-put" || command.type === "cache-delete" || command.type === "cache-increment";
    if (!isWrite || lineOfKey(command.namespace, command.key) !== line) throw new CodecError("a command of something else than its line");
    // Every reader has to unpack it, and no reader shall be made to unpack more than a value may have.
    const isReadable = command.type !== "cache-put" || plainValue(this.owner.packing, command) !== undefined;
    if (!isReadable && !mutant("packing-taken-unread")) throw new CodecError("a value that cannot be unpacked");
  }
}

import { type GroupId, type Moment, readableCopy } from "@trivet/core";
import { mutant } from "@trivet/core/mutation";
import type { CachedRecord, HolderMessage, HomeMessage, NamespaceSettings } from "@trivet/wire";
import type { Copies } from "./copies.ts";
import type { HolderHost } from "./holder-host.ts";
import { openProgramReads, programReadMs } from "./limits.ts";
import { keyOfLine } from "./lines.ts";
import { readMode } from "./read-mode.ts";

export type ReadMessage = Extract<HolderMessage, { readonly type: "read" }>;

export interface ProgramReadsOwner {
  readonly copies: Copies;
  now(): Moment;
  settings(namespace: number): NamespaceSettings | null;
  /** Null = this node holds nothing of the shard. */
  holder(group: GroupId): HolderHost | null;
  tell(program: string, group: GroupId, message: HomeMessage): void;
}

/**
 * Reads of programs that keep no copies, answered as those over HTTP are: from this node's copy, in the turn in which they came, or from what this node's holder gets for
 * one. Both are true at a moment after the program asked (rule M2), which is all that it needs: it keeps nothing.
 */
export class ProgramReads {
  hits = 0;
  misses = 0;
  private readonly owner: ProgramReadsOwner;
  /** Under way: a program that has no answer yet asks again. */
  private readonly open = new Set<string>();

  constructor(owner: ProgramReadsOwner) {
    this.owner = owner;
  }

  /** False = it is for the home. */
  answer(program: string, group: GroupId, message: ReadMessage): boolean {
    const { line } = message;
    const [namespace, key] = keyOfLine(line);
    const settings = this.owner.settings(namespace);
    const holder = this.owner.holder(group);
    // A namespace that this node has not heard of, or no more: its home knows.
    if (settings === null || holder === null) return false;
    const { steady, wall } = this.owner.now();
    const found = this.owner.copies.find(namespace, key);
    const copy = found === undefined ? undefined : readableCopy(found.holder, found.line, steady, wall);
    const told = mutant("program-read-of-any-copy") ? found?.line.copy : copy;
    if (found !== undefined && told != null) {
      this.hits++;
      this.owner.copies.hit(found);
      this.tell(program, group, message, told.record);
      return true;
    }
    const name = `${message.incarnation} ${message.txn} ${group} ${program}`;
    if (this.open.has(name)) return true;
    if (this.open.size >= openProgramReads) return false;
    this.open.add(name);
    this.misses++;
    holder.read(line, readMode(settings), steady + programReadMs, (answer) => {
      this.open.delete(name);
      // Not in time: whoever still waits asks again.
      if (answer !== null) this.tell(program, group, message, answer.record);
    });
    return true;
  }

  private tell(program: string, group: GroupId, { incarnation, line, term, txn }: ReadMessage, record: CachedRecord): void {
    this.owner.tell(program, group, { type: "data", term, incarnation, line, txn, grant: "none", record, sequence: 0 });
  }
}

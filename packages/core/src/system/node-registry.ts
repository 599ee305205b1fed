import { mutant } from "#mutation";
import type { DrainNode, ReplaceNode, Result, SetNode } from "@trivet/wire";
import { done } from "../locks/answers.ts";
import { avalanche, hashText, mix } from "./digest.ts";
import type { Ledger } from "./ledger.ts";
import type { NodeView } from "./view.ts";

/** Where each node is reached and what it runs (rule G4). Small: a snapshot copies it whole. */
export class NodeRegistry {
  readonly nodes: Map<string, NodeView> = new Map();
  private readonly ledger: Ledger;

  constructor(ledger: Ledger) {
    this.ledger = ledger;
  }

  set(command: SetNode): Result {
    const { node, storage, url, roles, voter } = command;
    const max = this.ledger.limits.nodes;
    if (node === "") return { type: "malformed", detail: "a node needs a name" };
    if (!this.nodes.has(node) && this.nodes.size >= max) return { type: "quota", limit: "nodes", max };
    // "" = announced before it was ever seen (`member add`): that must not forget a disk that was registered meanwhile (rule G5).
    const known = this.nodes.get(node);
    const disk = storage === "" ? (known?.storage ?? "") : storage;
    // The approval to replace a disk is used up by the disk that takes its place, and by nothing else.
    const replaceable = known?.replaceable === true && (disk === known.storage || mutant("system-replace-approved-for-ever"));
    // A node that is told to be emptied stays so, wherever it moves.
    const draining = known?.draining === true && !mutant("system-drain-forgotten");
    this.nodes.set(node, { node, storage: disk, url, roles, voter, replaceable, draining });
    return done;
  }

  /** Compare-and-set: a late copy of the command must not give up the disk that has replaced the one it speaks of. */
  replace({ node, storage }: ReplaceNode): Result {
    const known = this.nodes.get(node);
    if (known === undefined || (known.storage !== storage && !mutant("system-replace-any-disk")))
      return { type: "not-found", what: "node" };
    this.nodes.set(node, { ...known, replaceable: true });
    return done;
  }

  drain({ node, draining }: DrainNode): Result {
    const known = this.nodes.get(node);
    if (known === undefined) return { type: "not-found", what: "node" };
    if (known.draining === draining) return done;
    this.nodes.set(node, { ...known, draining });
    this.ledger.sink.changed({ type: "node-draining", node, draining });
    return done;
  }

  forget(node: string): Result {
    return this.nodes.delete(node) ? done : { type: "not-found", what: "node" };
  }

  digest(): number {
    let sum = 0;
    for (const { node, storage, url, roles, voter, replaceable, draining } of this.nodes.values()) {
      const hash = mix(mix(mix(hashText(node), hashText(storage)), hashText(url)), hashText(roles));
      sum = (sum + avalanche(mix(hash, (voter ? 1 : 0) + (replaceable ? 2 : 0) + (draining ? 4 : 0)))) | 0;
    }
    return sum;
  }
}

import { nodeId } from "@trivet/core";
import type { MembershipOwner } from "./membership.ts";
import type { NodeHost } from "../node/node-host.ts";

/** What the membership of group 0 asks of its node. */
export function membershipOwner(host: NodeHost): MembershipOwner {
  return {
    self: nodeId(host.config.node),
    autoReplace: host.config.autoReplace,
    activeWithinMs: host.config.electionMaxMs * 2,
    identity: () => host.identity,
    registry: () => host.machine?.nodes() ?? [],
    propose: (commands) => host.propose(commands),
    linkedStorage: (node) => host.hub.helloOf(node)?.storage ?? null,
    announced: (node) => {
      if (node === nodeId(host.config.node)) return { storage: host.storage, url: host.config.url };
      const hello = host.hub.helloOf(node);
      return hello !== null && hello.cluster === host.identity?.cluster ? { storage: hello.storage, url: hello.url } : null;
    },
    raiseLevel: () => host.features.reconcile(),
    levelProblem: (node, level) => host.features.newcomerProblem(node, level),
    founding: (founders) => host.features.founding(founders),
    hasShards: () => (host.machine?.placement() ?? null) !== null,
    placementNames: (node) => host.machine?.placementNames(node) === true,
    holdsShards: (node, done) => {
      if (host.shards === null) host.ports.clock.defer(() => done(false));
      else host.shards.placement.holds(node, done);
    },
    shardProblem: () =>
      (host.shards?.placement.waits.all() ?? []).map(({ next, shard, why }) => `shard ${shard}: ${why}; ${next}`).join("; "),
    silentMs: (node) => {
      const at = host.hub.lastContact(node);
      return at === null ? null : host.ports.clock.now() - at;
    },
  };
}

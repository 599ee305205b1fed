import type { BootstrapOwner, ClusterIdentity } from "./bootstrap.ts";
import type { NodeHost } from "../node/node-host.ts";

/** What the bootstrap of an empty node asks of it. `finished` = the node belongs to a cluster now. */
export function bootstrapOwner(host: NodeHost, finished: (identity: ClusterIdentity) => void): BootstrapOwner {
  const { config } = host;
  return {
    node: config.node,
    url: config.url,
    roles: config.roles,
    voter: config.mayVote,
    level: host.features.own,
    storage: host.storage,
    shards: config.shards,
    joinOnly: config.join.length > 0,
    listed: () => host.hub.dialling(),
    helloOf: (node) => host.hub.helloOf(node),
    call: (to, method, body, done) => host.calls.call(to, method, body, done),
    phase: (phase, detail) => host.setPhase(phase, detail),
    finished,
    fatal: (error) => host.fatal(error),
  };
}

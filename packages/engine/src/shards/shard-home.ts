import { mutant } from "@trivet/core/mutation";
import { HomeHost, type HomeHostOwner } from "../cache/home-host.ts";
import { WriteBehind } from "../cache/write-behind.ts";
import type { ShardGroup } from "./shard-group.ts";
import type { ShardHosts } from "./shard-hosts.ts";

/** The home of a shard's cached values on this node, and what it brings to outside origins. */
export function homeOf(replica: ShardGroup, { host }: ShardHosts): HomeHost {
  const { cacheOrigins, clock, packing, random, telemetry } = host.ports;
  const { id } = replica.group;
  // Rule W7: nobody is told what a state in doubt has stored; who asks is answered by the next home.
  const ask: HomeHostOwner["ask"] = (request, done) =>
    replica.machine.ask(request, (reply) => {
      if (!replica.group.stateDoubted || mutant("cache-w7-doubtful-home")) done(reply);
    });
  const behind = new WriteBehind(id, {
    node: host.config.node,
    clock,
    telemetry,
    origins: cacheOrigins,
    packing,
    groupTime: () => host.groupTime.now(),
    namespace: (number) => host.machine?.namespaceByNumber(number) ?? null,
    ask,
    propose: (command, applied) => home.proposeAside(command, applied),
  });
  const home = new HomeHost(id, behind, {
    clock,
    traces: host.traces,
    newName: () => random.hex(16),
    groupTime: () => host.groupTime.now(),
    group: () => replica.group,
    ask,
    admits: (level) => host.features.admits(level),
    enqueue: (frame) => !host.disk.critical && replica.group.enqueue(frame),
    send: (to, message) => host.caching.sendToHolder(id, to, message),
    markDirty: () => replica.markDirty(),
  });
  return home;
}

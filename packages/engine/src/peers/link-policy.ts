import { mutant } from "@trivet/core/mutation";
import type { Link } from "../ports/transport.ts";
import type { ClusterIdentity } from "../members/bootstrap.ts";
import type { NodeHostConfig } from "../node/config.ts";
import type { PeerHello, PeerRefusal } from "./peer-frames.ts";

/** What a node knows of itself and of the other's past when a link is offered. */
export interface LinkFacts {
  readonly config: NodeHostConfig;
  readonly storage: string;
  readonly identity: ClusterIdentity | null;
  /** Disk registered for the other node; "" = registered before it was ever seen, null = unknown. */
  readonly registeredStorage: string | null;
  /** Applied index of group 0 here: how new the registry is. */
  readonly applied: number;
  /** Disk of the member that is linked under this id now, null = none. */
  readonly linkedStorage: string | null;
}

/** Who may link to this node (rules G2, G5). Null = welcome; every refusal names both values of what differs. */
export function judgeLink(facts: LinkFacts, hello: PeerHello, link: Link): PeerRefusal | null {
  const { config, storage, identity, registeredStorage } = facts;
  const own = config.node;
  if (hello.node === own && hello.storage === storage) return { code: "self", detail: `${link.remote} is ${own} itself` };
  if (hello.node === own) {
    return {
      code: "node",
      detail: `two nodes call themselves ${own}: one at ${config.url} with disk ${storage}, one at ${hello.url} with disk ${hello.storage}; give one another NODE_ID`,
    };
  }
  if (config.macKeys.length === 0 && !link.loopback && link.provenNodes === null && !config.trustPeerPort) {
    return {
      code: "not-trusted",
      detail: `${own} takes peers only from loopback, with SHARED_MAC_KEY, with mutual TLS, or on a CLUSTER_PORT`,
    };
  }
  if (link.provenNodes !== null && !link.provenNodes.includes(hello.node) && !mutant("host-certificate-of-another")) {
    return { code: "certificate", detail: `the certificate is for ${link.provenNodes.join(", ")}, the node says it is ${hello.node}` };
  }
  if (identity === null) return null;
  if (facts.linkedStorage !== null && facts.linkedStorage !== hello.storage && hello.cluster !== identity.cluster) {
    return {
      code: "node",
      detail: `${hello.node} is a member that is up, with disk ${facts.linkedStorage}; the node at ${hello.url} with disk ${hello.storage} must have another NODE_ID`,
    };
  }
  if (hello.cluster !== "" && hello.cluster !== identity.cluster) {
    return { code: "cluster", detail: `cluster ids differ: ${own} belongs to ${identity.cluster}, ${hello.node} to ${hello.cluster}` };
  }
  // A node without a cluster gets its link all the same: it must be able to ask to join (or to be replaced).
  if (hello.cluster === identity.cluster && isReplaced(registeredStorage, facts.applied, hello)) {
    return {
      code: "storage",
      detail: `${hello.node} is known with disk ${registeredStorage}, but this one is ${hello.storage}: another node uses its id, or its data was restored from elsewhere`,
    };
  }
  return null;
}

/**
 * Is this the disk of a node that has another one by now? Only who has applied at least as much as the other may say so: a node that lags
 * still knows the disk of before, and must not shut out the leader that would tell it.
 */
export function isReplaced(registeredStorage: string | null, applied: number, hello: PeerHello): boolean {
  if (registeredStorage === null || registeredStorage === "") return false;
  return registeredStorage !== hello.storage && applied >= hello.applied;
}

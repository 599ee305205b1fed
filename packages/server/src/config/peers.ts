import { parseStrictJson } from "../json/strict-json.ts";

/** One node of a peer list. */
export interface PeerAddress {
  /** Node id when the list names it; else the identity handshake tells (never the port, never a part of the host: W-68). */
  readonly id: string | null;
  /** Scheme, host and port, in normal form without a slash at the end. */
  readonly url: string;
  readonly host: string;
  readonly port: number;
}
export type PeersOutcome =
  | { readonly type: "peers"; readonly peers: readonly PeerAddress[] }
  | { readonly type: "bad"; readonly expected: string; readonly position: number | null };

const idPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
export const isNodeId = (text: string): boolean => idPattern.test(text);

class BadPeer extends Error {}

function fromUrl(text: string, id: string | null, defaultPort: number): PeerAddress {
  let url: URL;
  try {
    url = new URL(text);
  } catch (error) {
    throw new BadPeer(`"${text}" is not a URL`, { cause: error });
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") throw new BadPeer(`"${text}": only http and https`);
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "" || url.pathname.replace("/", "") !== "") {
    throw new BadPeer(`"${text}": only scheme, host and port`);
  }
  // `new URL` drops the scheme's own port: http://node2:80 means 80, http://node2 means the default of the cluster.
  const written = /^[a-z]+:\/\/(?:\[[^\]]*\]|[^:/]*)(?::([0-9]+))?/i.exec(text)?.[1];
  const port = written === undefined ? defaultPort : Number(written);
  if (port < 1 || port > 65_535) throw new BadPeer(`"${text}": a port is 1 to 65535`);
  return { id, url: `${url.protocol}//${url.hostname}:${port}`, host: url.hostname.replaceAll(/^\[|\]$/g, ""), port };
}

function checkId(id: string): string {
  if (!isNodeId(id)) throw new BadPeer(`"${id}" is not a node id (letters, digits, '.', '_', '-')`);
  return id;
}

/** One item: URL, host:port, bare name, id=url, id=host:port, id:host:port. */
export function parsePeer(item: string, defaultPort: number): PeerAddress {
  const text = item.trim();
  if (text === "") throw new BadPeer("an empty item");
  const named = /^([^=:/]+)=(.+)$/.exec(text);
  if (named !== null) {
    const rest = parsePeer(named[2] ?? "", defaultPort);
    return { ...rest, id: checkId((named[1] ?? "").trim()) };
  }
  if (text.includes("://")) return fromUrl(text, null, defaultPort);
  const triple = /^([^:[\]]+):([^:[\]]+|\[[^\]]+\]):([0-9]+)$/.exec(text);
  if (triple !== null) return fromUrl(`http://${triple[2]}:${triple[3]}`, checkId(triple[1] ?? ""), defaultPort);
  const pair = /^([^:[\]]+|\[[^\]]+\]):([0-9]+)$/.exec(text);
  if (pair !== null) return fromUrl(`http://${text}`, null, defaultPort);
  // A bare name is host and id at once (S4's PEERS).
  return fromUrl(`http://${text}`, checkId(text), defaultPort);
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function fromItem(item: unknown, defaultPort: number): PeerAddress {
  if (typeof item === "string") return parsePeer(item, defaultPort);
  if (isRecord(item)) {
    const id = item["id"] ?? item["node"] ?? item["name"];
    const url = item["url"] ?? item["address"];
    if (typeof url === "string") {
      const peer = parsePeer(url, defaultPort);
      return typeof id === "string" ? { ...peer, id: checkId(id) } : peer;
    }
  }
  throw new BadPeer(`${JSON.stringify(item)} is not a node`);
}

function items(value: unknown, defaultPort: number): PeerAddress[] {
  if (Array.isArray(value)) return value.map((item) => fromItem(item, defaultPort));
  if (isRecord(value)) {
    return Object.entries(value).map(([id, address]) => {
      if (typeof address !== "string") throw new BadPeer(`the address of "${id}" is not text`);
      return { ...parsePeer(address, defaultPort), id: checkId(id) };
    });
  }
  throw new BadPeer("neither an array nor an object");
}

function refuseDuplicates(peers: readonly PeerAddress[]): void {
  const urls = new Set<string>();
  const ids = new Set<string>();
  for (const peer of peers) {
    if (urls.has(peer.url)) throw new BadPeer(`${peer.url} appears twice`);
    if (peer.id !== null && ids.has(peer.id)) throw new BadPeer(`the id "${peer.id}" appears twice`);
    urls.add(peer.url);
    if (peer.id !== null) ids.add(peer.id);
  }
}

/** A peer list in any of the documents' grammars: CSV or JSON, this node in it or not (X-09). Never throws. */
export function parsePeers(raw: unknown, defaultPort: number): PeersOutcome {
  try {
    let peers: PeerAddress[];
    if (typeof raw === "string") {
      const text = raw.trim();
      if (text.startsWith("{") || text.startsWith("[{") || text.startsWith('["') || text === "[]") {
        const outcome = parseStrictJson(text, 4);
        if (outcome.type === "fault") return { type: "bad", expected: outcome.fault.message, position: outcome.fault.position + 1 };
        peers = items(outcome.value, defaultPort);
      } else {
        // A comma at the end is a slip that changes nothing.
        peers = text
          .replace(/,\s*$/, "")
          .split(",")
          .filter((item, index, all) => item.trim() !== "" || all.length > 1)
          .map((item) => parsePeer(item, defaultPort));
      }
    } else {
      peers = items(raw, defaultPort);
    }
    refuseDuplicates(peers);
    return { type: "peers", peers };
  } catch (error) {
    if (error instanceof BadPeer) return { type: "bad", expected: error.message, position: null };
    throw error;
  }
}

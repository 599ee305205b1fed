import { isIP } from "node:net";
import type { MembersAnswer } from "../api/answers.ts";
import type { Api } from "../api/http.ts";

/** The cluster that the load would be put on. */
export interface Target {
  /** The first host that is not this machine's loopback; null = all are. */
  readonly elsewhere: string | null;
  readonly voters: number;
}

/** Also the addresses of the members count: behind a tunnel on 127.0.0.1 there may be anything. */
export async function targetOf(api: Api): Promise<Target> {
  const { members } = (await api.call("GET", "/v1/raft/members")) as MembersAnswer;
  const urls = [...api.urls, ...members.flatMap(({ url }) => url ?? [])];
  const hosts = urls.filter((url) => URL.canParse(url)).map((url) => new URL(url).hostname);
  return { elsewhere: hosts.find((host) => !isLoopback(host)) ?? null, voters: members.filter(({ kind }) => kind === "voter").length };
}

/** Of the host of a URL. */
export function isLoopback(host: string): boolean {
  const address = host.replace(/^\[|\]$/g, "");
  if (isIP(address) === 4) return address.startsWith("127.");
  if (isIP(address) === 6) return address === "::1";
  return address === "localhost" || address.endsWith(".localhost");
}

import type { IncomingMessage } from "node:http";
import { failure, type Failure } from "./answer.ts";

/**
 * A page of another site must not change anything here through somebody's browser. Programs send neither header. Browsers leave
 * Sec-Fetch-Site out towards plain http:// addresses other than loopback: there Origin decides. A WebSocket is a GET that no
 * same-origin policy guards, so upgrades are judged like changes, and so is a GET that `takes` something.
 */
export function crossSite(request: IncomingMessage, takes = false): Failure | null {
  const { headers, method } = request;
  if ((method === "GET" || method === "HEAD") && headers.upgrade === undefined && !takes) return null;
  const site = headers["sec-fetch-site"];
  const foreign = site === undefined ? isOtherHost(headers.origin, headers.host) : site === "cross-site";
  return foreign ? failure("forbidden", { values: { reason: "The call comes from a page of another site." } }) : null;
}

function isOtherHost(origin: string | undefined, host: string | undefined): boolean {
  if (origin === undefined) return false;
  // `null`: a sandboxed page or a file.
  return !URL.canParse(origin) || new URL(origin).host !== host?.toLowerCase().replace(/:(?:80|443)$/, "");
}

import { isUtf8 } from "node:buffer";
import type { IncomingHttpHeaders } from "node:http";
import { httpLimits } from "@trivet/contract";
import { badField, type Failure } from "./answer.ts";

/** X-Client-Id names the caller in S0's and S4's programs. Header bytes are UTF-8 here, as in a body, so both spell one owner. */
export function clientId(headers: IncomingHttpHeaders): string | undefined {
  const header = headers["x-client-id"];
  if (typeof header !== "string" || header === "") return undefined;
  const bytes = Buffer.from(header, "latin1");
  return isUtf8(bytes) ? bytes.toString("utf8") : header;
}

/** An owner that is too long must not silently become an anonymous one. */
export function clientIdFault(headers: IncomingHttpHeaders): Failure | null {
  const id = clientId(headers);
  if (id === undefined || Buffer.byteLength(id) <= httpLimits.maxOwnerBytes) return null;
  return badField("X-Client-Id", `1 to ${httpLimits.maxOwnerBytes} bytes of UTF-8`);
}

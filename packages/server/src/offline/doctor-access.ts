import type { NodeConfig } from "../config/index.ts";
import { ConfigError } from "../config/errors.ts";
import { readAccessFile } from "../security/access-file.ts";
import { readTokenKeys } from "../security/token-keys.ts";
import { error, type Finding, ok } from "./doctor-findings.ts";

/** Files without which a node with AUTH_MODE does not start, read as it reads them. */
export function checkAccess({ access }: NodeConfig): readonly Finding[] {
  if (access === null) return [];
  const findings: Finding[] = [];
  if (access.file !== null) findings.push(accessFinding(access.file));
  if (access.jwt?.keys.type === "file") findings.push(tokenKeysFinding(access.jwt.keys.path));
  return findings;
}

function accessFinding(path: string): Finding {
  const outcome = readAccessFile(path);
  return outcome.type === "bad"
    ? error("access", `${outcome.fault}.`, "correct the file, or make one with: trivet key create NAME --role admin")
    : ok("access", `${path} has ${outcome.file.keys.length} keys and ${outcome.file.roles.size} roles`);
}

function tokenKeysFinding(path: string): Finding {
  try {
    return ok("access", `${path} has ${readTokenKeys(path).keys.length} keys of the issuer`);
  } catch (cause) {
    if (!(cause instanceof ConfigError)) throw cause;
    return error("access", `${cause.faults.join("; ")}.`, cause.next ?? "correct JWT_KEYS");
  }
}

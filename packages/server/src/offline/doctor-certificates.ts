import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { NodeConfig } from "../config/index.ts";
import { error, type Finding, ok, warning } from "./doctor-findings.ts";

const dayMs = 86_400_000;
const soonDays = 30;

export async function checkCertificates({ nodeId, tls }: NodeConfig, nowMs: number): Promise<readonly Finding[]> {
  if (tls === null) return [];
  const path = tls.certFile;
  const next = `trivet cert issue ${nodeId}`;
  try {
    const certificate = new X509Certificate(await readFile(path));
    const days = Math.floor((Date.parse(certificate.validTo) - nowMs) / dayMs);
    if (days < 0) return [error("certificates", `${path} ended on ${certificate.validTo}.`, next)];
    if (days < soonDays) return [warning("certificates", `${path} ends in ${days} days.`, next)];
    return [ok("certificates", `${path} is good for ${days} days`)];
  } catch (cause) {
    return [error("certificates", `${path} cannot be used: ${cause instanceof Error ? cause.message : String(cause)}.`, next)];
  }
}

export { startNode, type RunningNode, type StartOptions } from "./compose.ts";
export * from "./config/index.ts";
export { readCertificates, type CertificateFiles, type CertificateOutcome, type Holder } from "./security/certificates.ts";
export { readAccessFile } from "./security/access-file.ts";
export { verifyAudit } from "./security/audit-chain.ts";
export { setAside } from "./security/audit-files.ts";
export { builtInRoles } from "./security/policy.ts";
export { version } from "./version.ts";

export { startNode, type RunningNode, type StartOptions } from "./compose.ts";
export * from "./config/index.ts";
export { readCertificates, type CertificateFiles, type CertificateOutcome, type Holder } from "./security/certificates.ts";
export { version } from "./version.ts";

import { createPrivateKey, X509Certificate, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import type { TlsConfig } from "../config/tls.ts";

export type CertificateFiles = Pick<TlsConfig, "certFile" | "keyFile" | "caFile">;

/** What a node shows and trusts; judged as a whole, so that nothing half-fitting is ever used. */
export interface Certificates {
  /** PEM texts. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** Names in the certificate, as `DNS:node1`. */
  readonly names: readonly string[];
  readonly subject: string;
  readonly notAfter: number;
}
export type CertificateOutcome =
  | { readonly type: "good"; readonly certificates: Certificates }
  /** One line: the setting and file, what is wrong, what was expected, and what to do (L-10, T-15). */
  | { readonly type: "bad"; readonly fault: string };

/** Whose certificate it must be. A client is whoever the authority signed; a node is the one it says it is. */
export type Holder = { readonly kind: "node"; readonly id: string } | { readonly kind: "client" };

class BadCertificate extends Error {}

const serverUse = "1.3.6.1.5.5.7.3.1";
const clientUse = "1.3.6.1.5.5.7.3.2";
/** Certificates between a node's and the authority's. */
const maxChain = 8;

/** The subject alternative names, as `kind:value`. Node writes values that could be mistaken in quotes. */
export function namesOf(certificate: X509Certificate): readonly string[] {
  const text = certificate.subjectAltName ?? "";
  return [...text.matchAll(/([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)].map(([, kind, value = ""]) => `${kind}:${value}`);
}

/**
 * Nodes that a certificate is for: its DNS names, exactly as written. Never a wildcard, which would be every node, nor localhost, which
 * every certificate of a node has.
 */
export function nodesOf(certificate: X509Certificate): readonly string[] {
  return namesOf(certificate)
    .filter((name) => name.startsWith("DNS:"))
    .map((name) => name.slice("DNS:".length))
    .filter((name) => name !== "localhost" && !name.includes("*"));
}

/** `CN=node1, O=…` on one line. */
export const subjectOf = (certificate: X509Certificate): string => certificate.subject.replaceAll("\n", ", ");

function readText(setting: string, path: string, remedy: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file" : `it cannot be read (${code})`;
    throw new BadCertificate(`${setting}: ${path}: ${why}; ${remedy}`);
  }
}

const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function parseCertificates(setting: string, path: string, text: string): readonly [X509Certificate, ...X509Certificate[]] {
  const [first, ...others] = [...text.matchAll(pemCertificate)].map(([pem]) => {
    try {
      return new X509Certificate(pem);
    } catch (error) {
      throw new BadCertificate(`${setting}: ${path} holds a certificate that cannot be read: ${(error as Error).message}`);
    }
  });
  if (first === undefined)
    throw new BadCertificate(`${setting}: ${path} holds no certificate (PEM begins with -----BEGIN CERTIFICATE-----)`);
  return [first, ...others];
}

function parseKey(path: string, text: string): KeyObject {
  try {
    return createPrivateKey(text);
  } catch {
    // The library's own words may quote the file.
    throw new BadCertificate(`KEY_FILE: ${path} holds no private key that can be read (PEM, without a passphrase)`);
  }
}

const day = (text: string): string => new Date(text).toISOString().slice(0, 10);
const isOver = (certificate: X509Certificate, now: number): boolean => Date.parse(certificate.validTo) <= now;

function checkDates(setting: string, path: string, certificate: X509Certificate, now: number, remedy: string): void {
  const who = `${setting}: ${path} (${subjectOf(certificate)})`;
  if (isOver(certificate, now)) throw new BadCertificate(`${who} ended on ${day(certificate.validTo)}; ${remedy}`);
  if (Date.parse(certificate.validFrom) > now)
    throw new BadCertificate(`${who} begins on ${day(certificate.validFrom)} only: look at this machine's clock, or ${remedy}`);
}

const signs = (issuer: X509Certificate, certificate: X509Certificate): boolean =>
  certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey);

/** The authority in CA_FILE that the certificate comes from, over intermediate ones in CERT_FILE. */
function authorityOf(
  leaf: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): X509Certificate | null {
  let current = leaf;
  for (let step = 0; step <= maxChain; step += 1) {
    const authority = authorities.find((candidate) => signs(candidate, current));
    if (authority !== undefined) return authority;
    const next = between.find((candidate) => candidate !== current && signs(candidate, current));
    if (next === undefined) return null;
    current = next;
  }
  return null;
}

function checkHolder(leaf: X509Certificate, who: string, holder: Holder, issue: string): void {
  const names = namesOf(leaf);
  if (names.length === 0)
    throw new BadCertificate(`${who} has no subjectAltName: no current client accepts a name that stands in CN alone; ${issue}`);
  if (holder.kind === "node" && !nodesOf(leaf).includes(holder.id))
    throw new BadCertificate(`${who} is for ${names.join(", ")}; expected DNS:${holder.id}, the NODE_ID of this node; ${issue}`);
  // Its type forgets that the extension may not be there.
  const keyUsage = leaf.keyUsage as readonly string[] | undefined;
  // A node is server and client: of browsers and programs, and of the other nodes.
  const needed = holder.kind === "node" ? [serverUse, clientUse] : [clientUse];
  if (keyUsage !== undefined && !needed.every((use) => keyUsage.includes(use)))
    throw new BadCertificate(
      `${who} may not be used by ${holder.kind === "node" ? "server and client both" : "a client"} (extendedKeyUsage); ${issue}`,
    );
}

function judge(config: CertificateFiles, holder: Holder, now: number): Certificates {
  const { certFile, keyFile, caFile } = config;
  const issue = `make one with: trivet cert issue ${holder.kind === "node" ? holder.id : "NAME --client"}`;
  const cert = readText("CERT_FILE", certFile, issue);
  const key = readText("KEY_FILE", keyFile, issue);
  const ca = readText("CA_FILE", caFile, "make one with: trivet cert init");
  const [leaf, ...between] = parseCertificates("CERT_FILE", certFile, cert);
  const authorities = parseCertificates("CA_FILE", caFile, ca);
  const who = `CERT_FILE: ${certFile} (${subjectOf(leaf)})`;
  checkHolder(leaf, who, holder, issue);
  if (!leaf.checkPrivateKey(parseKey(keyFile, key)))
    throw new BadCertificate(`KEY_FILE: ${keyFile} is not the key of ${certFile}; ${issue}`);
  checkDates("CERT_FILE", certFile, leaf, now, issue);
  const authority = authorityOf(leaf, between, authorities);
  if (authority === null)
    throw new BadCertificate(
      `${who} is signed by ${leaf.issuer.replaceAll("\n", ", ")}, which is not in CA_FILE (${caFile}: ${authorities.map(subjectOf).join("; ")}); ${issue}`,
    );
  if (!authority.ca)
    throw new BadCertificate(
      `CA_FILE: ${caFile} (${subjectOf(authority)}) is no authority's certificate (CA:TRUE); make one with: trivet cert init`,
    );
  checkDates("CA_FILE", caFile, authority, now, "make a new one with: trivet cert init --renew");
  return { cert, key, ca, names: namesOf(leaf), subject: subjectOf(leaf), notAfter: Date.parse(leaf.validTo) };
}

/** Reads and judges the three files. Never throws for what is in them. */
export function readCertificates(files: CertificateFiles, holder: Holder, now: number): CertificateOutcome {
  try {
    return { type: "good", certificates: judge(files, holder, now) };
  } catch (error) {
    if (error instanceof BadCertificate) return { type: "bad", fault: error.message };
    throw error;
  }
}

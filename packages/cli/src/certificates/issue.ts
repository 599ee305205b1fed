import { isIP } from "node:net";
import type { Authority } from "./authority.ts";
import type { CertFolder } from "./files.ts";
import { keyPem, newKeys, PlatformCertificate, readKey, serialNumber, signerOf, x509 } from "./library.ts";

const dayMs = 24 * 3_600_000;
const clockSlackMs = 5 * 60_000;
/** Sooner than so many days before its end a certificate is left alone. */
const renewBeforeMs = 30 * dayMs;

/** Names that a person reaches a node by on its own machine. */
const localNames = ["localhost", "127.0.0.1", "::1"] as const;

export interface Wanted {
  /** Node id, or name of a client. */
  readonly name: string;
  readonly kind: "node" | "client";
  /** Further host names and addresses of a node. */
  readonly hosts: readonly string[];
  readonly days: number;
  /** Also when the one that is there would do. */
  readonly renew: boolean;
}
export interface Issued {
  readonly name: string;
  readonly made: boolean;
  readonly names: readonly string[];
  readonly notAfter: Date;
}

type AlternativeName = { readonly type: "dns" | "ip" | "url"; readonly value: string };

/** A client has no host name: a certificate with one could pass for a node. */
function alternativeNames({ name, kind, hosts }: Wanted): readonly AlternativeName[] {
  if (kind === "client") return [{ type: "url", value: `trivet:client:${name}` }];
  return [...new Set([name, ...localNames, ...hosts])].map((value) => ({ type: isIP(value) === 0 ? "dns" : "ip", value }));
}

/** Makes NAME.key, NAME.csr and NAME.crt, unless good ones are there. */
export async function issue(folder: CertFolder, authority: Authority, wanted: Wanted): Promise<Issued> {
  const names = alternativeNames(wanted);
  const shown = names.map(({ value }) => value);
  const kept = wanted.renew ? null : stillGood(folder, authority, wanted.name, names);
  if (kept !== null) return { name: wanted.name, made: false, names: shown, notAfter: kept };
  const keys = await newKeys();
  const now = Date.now();
  // It cannot outlive who vouches for it.
  const notAfter = new Date(Math.min(now + wanted.days * dayMs, authority.certificate.notAfter.getTime()));
  const subject = `CN=${wanted.name}`;
  const alternative = new x509.SubjectAlternativeNameExtension(names.map((name) => ({ ...name })));
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: signerOf(keys).algorithm,
    extensions: [alternative],
  });
  const { serverAuth, clientAuth } = x509.ExtendedKeyUsage;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject,
    issuer: authority.certificate.subjectName,
    notBefore: new Date(now - clockSlackMs),
    notAfter,
    publicKey: keys.publicKey,
    signingKey: authority.signer.key,
    signingAlgorithm: authority.signer.algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      // A node is a server to its clients, and both to the other nodes.
      new x509.ExtendedKeyUsageExtension(wanted.kind === "node" ? [serverAuth, clientAuth] : [clientAuth]),
      alternative,
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await issuedBy(authority),
    ],
  });
  folder.write(`${wanted.name}.key`, `${await keyPem(keys.privateKey)}\n`, "secret");
  folder.write(`${wanted.name}.csr`, `${request.toString("pem")}\n`, "public");
  folder.write(`${wanted.name}.crt`, `${certificate.toString("pem")}\n`, "public");
  return { name: wanted.name, made: true, names: shown, notAfter };
}

/** The authority's own name of its key, where it has one (OpenSSL can be told to use another than the usual). */
async function issuedBy({ certificate }: Authority): Promise<x509.AuthorityKeyIdentifierExtension> {
  const own = certificate.getExtension(x509.SubjectKeyIdentifierExtension);
  return own === null
    ? await x509.AuthorityKeyIdentifierExtension.create(certificate.publicKey)
    : new x509.AuthorityKeyIdentifierExtension(own.keyId);
}

/** The end of the certificate that is there, when it may stay: ours, of this key, for these names, and not at its end. */
function stillGood(folder: CertFolder, authority: Authority, name: string, names: readonly AlternativeName[]): Date | null {
  const pem = folder.read(`${name}.crt`);
  const key = folder.read(`${name}.key`);
  if (pem === "" || key === "") return null;
  try {
    const certificate = new PlatformCertificate(pem);
    const issuer = new PlatformCertificate(authority.certificate.toString("pem"));
    const notAfter = new Date(certificate.validTo);
    const fits = certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey) && certificate.checkPrivateKey(readKey(key));
    return fits && notAfter.getTime() - Date.now() > renewBeforeMs && names.every((wanted) => covers(certificate, wanted))
      ? notAfter
      : null;
  } catch {
    // What cannot be read is replaced.
    return null;
  }
}

function covers(certificate: PlatformCertificate, { type, value }: AlternativeName): boolean {
  if (type === "url") return certificate.subjectAltName?.includes(`URI:${value}`) === true;
  // Only the alternative names: a CN alone is what this command is there to replace.
  return type === "ip" ? certificate.checkIP(value) !== undefined : certificate.checkHost(value, { subject: "never" }) !== undefined;
}

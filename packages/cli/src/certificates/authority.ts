import { exitCodes } from "@trivet/contract";
import { CliError } from "../output/errors.ts";
import { pemBlocks, type CertFolder } from "./files.ts";
import { keyPem, newKeys, PlatformCertificate, readKey, readSigner, serialNumber, type Signer, signerOf, x509 } from "./library.ts";

const dayMs = 24 * 3_600_000;
/** Clocks of other machines may be a little behind. */
const clockSlackMs = 5 * 60_000;

export interface Authority {
  readonly certificate: x509.X509Certificate;
  readonly signer: Signer;
}
export interface AuthorityMade {
  readonly made: boolean;
  readonly subject: string;
  readonly notAfter: Date;
  /** Authorities of before that are still trusted. */
  readonly trustedBefore: number;
}

/**
 * The cluster's own authority. One that is there is kept; `renew` makes a new one and leaves the old certificate behind it in ca.crt, so that
 * nodes trust both until each has a certificate of the new one.
 */
export async function initAuthority(folder: CertFolder, days: number, renew: boolean): Promise<AuthorityMade> {
  const before = pemBlocks(folder.read("ca.crt"));
  const [first] = before;
  if (first !== undefined && !renew) {
    // A key without its certificate, or the other way round, is somebody's half-finished work: nothing is overwritten.
    const { certificate } = await openAuthority(folder);
    return { made: false, subject: certificate.subject, notAfter: certificate.notAfter, trustedBefore: before.length - 1 };
  }
  if (first === undefined && folder.has("ca.key")) throw halfThere(folder, "ca.key", "ca.crt");
  const keys = await newKeys();
  const now = Date.now();
  // A name of its own: two authorities of one name could not be told apart while both are trusted.
  const name = `CN=Trivet authority ${serialNumber().slice(0, 8)}`;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name,
    notBefore: new Date(now - clockSlackMs),
    notAfter: new Date(now + days * dayMs),
    signingAlgorithm: signerOf(keys).algorithm,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  folder.write("ca.key", `${await keyPem(keys.privateKey)}\n`, "secret");
  folder.write("ca.crt", `${certificate.toString("pem")}\n${before.join("")}`, "public");
  return { made: true, subject: certificate.subject, notAfter: certificate.notAfter, trustedBefore: before.length };
}

/** Leaves only the authority of now in ca.crt. Says how many were taken out. */
export function dropOldAuthorities(folder: CertFolder): number {
  const [first, ...others] = pemBlocks(folder.read("ca.crt"));
  if (first !== undefined && others.length > 0) folder.write("ca.crt", first, "public");
  return others.length;
}

/** The authority that signs: the first certificate of ca.crt, and ca.key. Also one that OpenSSL made. */
export async function openAuthority(folder: CertFolder): Promise<Authority> {
  const [pem] = pemBlocks(folder.read("ca.crt"));
  const key = folder.read("ca.key");
  if (pem === undefined && key === "") {
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.configuration,
      what: `There is no authority in ${folder.path}.`,
      why: "ca.crt and ca.key are missing.",
      next: `trivet cert init --dir ${folder.path}`,
    });
  }
  if (pem === undefined) throw halfThere(folder, "ca.key", "ca.crt");
  if (key === "") throw halfThere(folder, "ca.crt", "ca.key");
  try {
    const signer = await readSigner(key);
    if (!new PlatformCertificate(pem).checkPrivateKey(readKey(key))) throw new Error("ca.key is not the key of ca.crt");
    return { certificate: new x509.X509Certificate(pem), signer };
  } catch (error) {
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.configuration,
      what: `The authority in ${folder.path} cannot be used.`,
      why: error instanceof Error ? error.message : String(error),
      next: `trivet cert init --dir ${folder.path} --renew (makes a new one; the old one stays trusted)`,
      cause: error,
    });
  }
}

function halfThere(folder: CertFolder, there: string, missing: string): CliError {
  return new CliError({
    code: "configuration",
    exitCode: exitCodes.configuration,
    what: `${folder.file(there)} is there, but ${missing} is not.`,
    why: "Nothing was overwritten: the missing half may be elsewhere.",
    next: `put ${missing} back, or move ${there} away and run: trivet cert init`,
  });
}

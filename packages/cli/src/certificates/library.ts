// oxlint-disable-next-line import/no-unassigned-import -- the library registers what it needs by decorators, which need this before it
import "reflect-metadata";
import { createPrivateKey, type KeyObject, webcrypto, X509Certificate as PlatformCertificate } from "node:crypto";
import * as x509 from "@peculiar/x509";

export { x509 };

/** Keys of Trivet's own certificates. */
const algorithm = { name: "ECDSA", namedCurve: "P-256" } as const;
const signing = { name: "ECDSA", hash: "SHA-256" } as const;
const rsaSigning = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" } as const;

x509.cryptoProvider.set(webcrypto);

export type KeyPair = webcrypto.CryptoKeyPair;
/** A private key with the way it signs. */
export interface Signer {
  readonly key: webcrypto.CryptoKey;
  readonly algorithm: typeof signing | typeof rsaSigning;
}

export async function newKeys(): Promise<KeyPair> {
  return await webcrypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
}
export const signerOf = (keys: KeyPair): Signer => ({ key: keys.privateKey, algorithm: signing });

/** PKCS#8, as OpenSSL 3 writes keys. */
export async function keyPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

/** A private key in a PEM text, for comparing it with a certificate. */
export const readKey = (pem: string): KeyObject => createPrivateKey(pem);

/** An authority's key, made here or by OpenSSL (RSA, P-256 or P-384). Throws when it is another kind. */
export async function readSigner(pem: string): Promise<Signer> {
  const key = readKey(pem);
  const der = key.export({ type: "pkcs8", format: "der" });
  if (key.asymmetricKeyType === "rsa") {
    return { key: await webcrypto.subtle.importKey("pkcs8", der, rsaSigning, false, ["sign"]), algorithm: rsaSigning };
  }
  const curve = { prime256v1: "P-256", secp384r1: "P-384" }[key.asymmetricKeyDetails?.namedCurve ?? ""];
  if (curve === undefined) throw new Error(`a key of the kind ${key.asymmetricKeyType ?? "unknown"}; RSA, P-256 and P-384 can sign here`);
  return { key: await webcrypto.subtle.importKey("pkcs8", der, { name: "ECDSA", namedCurve: curve }, false, ["sign"]), algorithm: signing };
}

export { PlatformCertificate };

/** 126 random bits: positive, and never twice (RFC 5280 §4.1.2.2). */
export function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(new Uint8Array(16));
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return Buffer.from(bytes).toString("hex");
}

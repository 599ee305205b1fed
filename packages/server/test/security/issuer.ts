import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exportJWK, SignJWT } from "jose";
import type { JwtConfig } from "../../src/config/access.ts";

export interface Pair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}
export const rsaPair = (): Pair => generateKeyPairSync("rsa", { modulusLength: 2_048 });
export const ecPair = (): Pair => generateKeyPairSync("ec", { namedCurve: "P-256" });

export const issuerName = "https://login.example.com/";
export const audience = "trivet";

/** Whoever makes tokens, with a key pair of its own and a file that nodes read. */
export class TestIssuer {
  readonly folder: string = mkdtempSync(join(tmpdir(), "trivet-issuer-"));
  readonly path: string = join(this.folder, "keys");
  private readonly pairs = new Map<string, Pair>();

  constructor() {
    this.rotate("one");
  }

  /** Another key; `also` stay valid beside it. */
  rotate(kid: string, also: readonly string[] = [], pair: Pair = ecPair()): void {
    for (const known of this.pairs.keys()) if (!also.includes(known)) this.pairs.delete(known);
    this.pairs.set(kid, pair);
  }

  async jwks(): Promise<string> {
    const keys = [...this.pairs].map(async ([kid, { publicKey }]) => ({ ...(await exportJWK(publicKey)), kid }));
    return JSON.stringify({ keys: await Promise.all(keys) });
  }

  async write(text?: string): Promise<void> {
    writeFileSync(this.path, text ?? (await this.jwks()));
  }

  pair(kid: string): Pair {
    const pair = this.pairs.get(kid);
    if (pair === undefined) throw new Error(`no key ${kid}`);
    return pair;
  }

  /** A good token, but for what `claims` and `header` say otherwise; undefined takes a claim away. */
  sign(
    claims: Record<string, unknown> = {},
    header: Record<string, unknown> = {},
    key: KeyObject | Uint8Array | null = null,
  ): Promise<string> {
    const [kid = "", pair] = [...this.pairs].at(-1) ?? [];
    const seconds = Math.floor(Date.now() / 1_000);
    const payload = { iss: issuerName, aud: audience, sub: "alice", roles: ["billing"], iat: seconds, exp: seconds + 600, ...claims };
    const kept = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined));
    const signer = key ?? pair?.privateKey;
    if (signer === undefined) throw new Error("no key");
    return new SignJWT(kept).setProtectedHeader({ alg: "ES256", kid, ...header }).sign(signer);
  }

  config(more: Partial<JwtConfig> = {}): JwtConfig {
    return {
      issuer: issuerName,
      audience,
      keys: { type: "file", path: this.path },
      algorithms: ["RS256", "ES256", "EdDSA"],
      roleClaim: "roles",
      prefixClaim: "prefixes",
      skewMs: 5_000,
      maxAgeMs: 0,
      ...more,
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

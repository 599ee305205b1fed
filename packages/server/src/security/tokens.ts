import { createHash } from "node:crypto";
import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from "jose";
import type { JwtConfig } from "../config/access.ts";
import type { AccessTools } from "./access-control.ts";
import { fits, TokenKeys } from "./token-keys.ts";

/** Longer names of callers are refused: they become principals of locks and sessions, whose length the log bounds. */
const maxSubjectBytes = 128;
const maxPrefixes = 256;
const maxPrefixBytes = 512;
const maxRoles = 64;
/** So many tokens are remembered as good; the one that was shown longest ago goes, and is checked anew. */
const maxRemembered = 10_000;

/** What a good token says. */
export interface Token {
  readonly principal: string;
  readonly roles: readonly string[];
  /** Its roles count for these names only; null = as far as they go. */
  readonly prefixes: readonly string[] | null;
  /** Wall time after which it is worth nothing, the skew of clocks included. */
  readonly endsAtMs: number;
  /** Of the key that it is signed with: given up by the issuer, the token ends as well. */
  readonly signedBy: string;
}
export interface TokenRefusal {
  /** A label of `access_refused_total`. */
  readonly refused: "form" | "algorithm" | "unknown_key" | "signature" | "foreign" | "expired" | "early" | "claims" | "keys";
  readonly why: string;
}
type Verdict = Token | TokenRefusal;

const refusal = (refused: TokenRefusal["refused"], why: string): TokenRefusal => ({ refused, why });

/** Three parts with points between them; keys of ours never have a point. */
export const looksLikeToken = (text: string): boolean => text.split(".").length === 3;

/** One text or a list of texts. Null = not of that form. */
function textsOf(value: unknown): readonly string[] | null {
  if (typeof value === "string") return [value];
  return Array.isArray(value) && value.every((item): item is string => typeof item === "string") ? value : null;
}

/** `realm_access.roles` is the member of a member, unless there is a claim of that very name. */
function claimOf(payload: JWTPayload, path: string): unknown {
  if (Object.hasOwn(payload, path)) return payload[path];
  let at: unknown = payload;
  for (const name of path.split(".")) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, name)) return undefined;
    at = (at as Readonly<Record<string, unknown>>)[name];
  }
  return at;
}

const failedClaim = (error: errors.JWTClaimValidationFailed): TokenRefusal => {
  if (error.claim === "nbf") return refusal("early", "The token is not valid yet (nbf).");
  if (error.claim === "iss") return refusal("foreign", "The token is of another issuer than JWT_ISSUER.");
  if (error.claim === "aud") return refusal("foreign", "The token is for another audience than JWT_AUDIENCE.");
  return refusal("claims", `The token's claim ${error.claim} is missing or not usable.`);
};

function refusalOf(error: unknown): TokenRefusal {
  if (error instanceof errors.JWTExpired) return refusal("expired", "The token has ended (exp).");
  if (error instanceof errors.JWTClaimValidationFailed) return failedClaim(error);
  if (error instanceof errors.JOSEAlgNotAllowed) return refusal("algorithm", "The token's algorithm is none of JWT_ALGORITHMS.");
  if (error instanceof errors.JWSSignatureVerificationFailed) return refusal("signature", "The token's signature is not the issuer's.");
  // Whatever the text is, it is no token.
  if (error instanceof errors.JOSEError || error instanceof TypeError) return refusal("form", "The token cannot be read.");
  throw error;
}

/** Checks tokens of one issuer. What is pinned here is never taken from the token: algorithms, issuer, audience, keys. */
export class Tokens {
  private readonly config: JwtConfig;
  private readonly tools: AccessTools;
  readonly keys: TokenKeys;
  /** By hash: the tokens themselves are kept nowhere. */
  private readonly remembered = new Map<string, Token>();

  constructor(config: JwtConfig, lookEveryMs: number, tools: AccessTools) {
    this.config = config;
    this.tools = tools;
    this.keys = new TokenKeys(config.keys, lookEveryMs, tools);
  }

  /** One that was good a moment ago costs a hash, not a signature, and no turn of the event loop. */
  check(text: string): Verdict | Promise<Verdict> {
    const hash = createHash("sha256").update(text).digest("base64");
    const known = this.remembered.get(hash);
    if (known === undefined) return this.verify(text, hash);
    const why = this.whyEnded(known);
    if (why === null) return known;
    this.remembered.delete(hash);
    return this.verify(text, hash);
  }

  /** Null = it is still good. */
  whyEnded({ endsAtMs, signedBy }: Token): string | null {
    if (this.tools.wallNow() >= endsAtMs) return "the token has ended (exp)";
    return this.keys.has(signedBy) ? null : "the key that the token is signed with is no longer the issuer's";
  }

  private async verify(text: string, hash: string): Promise<Verdict> {
    const verdict = await this.judge(text);
    if ("refused" in verdict) return verdict;
    this.remembered.set(hash, verdict);
    if (this.remembered.size > maxRemembered) {
      const [first] = this.remembered.keys();
      if (first !== undefined) this.remembered.delete(first);
    }
    return verdict;
  }

  private async judge(text: string): Promise<Verdict> {
    const { config } = this;
    const options: JWTVerifyOptions = {
      issuer: config.issuer,
      audience: config.audience,
      algorithms: [...config.algorithms],
      clockTolerance: config.skewMs / 1_000,
      requiredClaims: ["exp", "sub"],
      currentDate: new Date(this.tools.wallNow()),
      ...(config.maxAgeMs === 0 ? {} : { maxTokenAge: config.maxAgeMs / 1_000 }),
    };
    try {
      const { alg, kid } = decodeProtectedHeader(text);
      // Before a key is looked for: an algorithm that is not ours must not even make the node ask the issuer.
      if (alg === undefined || !config.algorithms.includes(alg)) throw new errors.JOSEAlgNotAllowed();
      const candidates = await this.keys.candidates(kid ?? null);
      if (candidates === null)
        return refusal("keys", "The issuer's keys could not be loaded yet (JWT_KEYS); the log of this node says why.");
      const fitting = candidates.filter((candidate) => fits(candidate, alg));
      let last: unknown = null;
      for (const { key, thumbprint } of fitting) {
        try {
          const { payload } = await jwtVerify(text, key, options);
          return this.tokenOf(payload, thumbprint);
        } catch (error) {
          // Another key may be the one; what is wrong with the token itself is wrong with all of them.
          if (!(error instanceof errors.JWSSignatureVerificationFailed)) throw error;
          last = error;
        }
      }
      return last === null
        ? refusal("unknown_key", "The issuer has no key of that name (kid) for the token's algorithm.")
        : refusalOf(last);
    } catch (error) {
      return refusalOf(error);
    }
  }

  private tokenOf(payload: JWTPayload, signedBy: string): Verdict {
    const { config } = this;
    const { sub, exp = 0, iat } = payload;
    if (typeof sub !== "string" || sub === "" || Buffer.byteLength(sub) > maxSubjectBytes || /\p{Cc}/u.test(sub))
      return refusal("claims", `The token's claim sub is not a name of 1 to ${maxSubjectBytes} bytes.`);
    // In one text as in `scope`: with spaces between.
    const roles = textsOf(claimOf(payload, config.roleClaim) ?? [])?.flatMap((text) => text.split(" "));
    if (roles === undefined || roles.length > maxRoles)
      return refusal("claims", `The token's claim ${config.roleClaim} is neither a role nor a list of at most ${maxRoles} roles.`);
    const claimed = claimOf(payload, config.prefixClaim);
    const prefixes = claimed === undefined ? null : textsOf(claimed);
    // A claim that limits and cannot be read must not be left out: the token would reach further than it was meant to.
    if (claimed !== undefined && (prefixes === null || prefixes.length > maxPrefixes || prefixes.some(isBadPrefix)))
      return refusal(
        "claims",
        `The token's claim ${config.prefixClaim} is neither a prefix nor a list of at most ${maxPrefixes} prefixes.`,
      );
    const byAge = config.maxAgeMs === 0 || iat === undefined ? Number.POSITIVE_INFINITY : iat * 1_000 + config.maxAgeMs;
    return {
      principal: `jwt:${sub}`,
      roles,
      prefixes,
      endsAtMs: Math.min(exp * 1_000, byAge) + config.skewMs,
      signedBy,
    };
  }
}

/** An empty prefix would be all names: whoever means that leaves the claim out. */
const isBadPrefix = (prefix: string): boolean => prefix === "" || Buffer.byteLength(prefix) > maxPrefixBytes;

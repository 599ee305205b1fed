import { minMacKeyCharacters, sampleSecrets, type SettingName } from "@trivet/contract";
import type { SettingReader } from "./redis.ts";

/** Access control of a node; null where AUTH_MODE is none. */
export interface AccessConfig {
  readonly file: string | null;
  readonly keys: readonly { readonly role: "admin" | "writer" | "reader"; readonly key: string }[];
  /** Null = no tokens are taken. */
  readonly jwt: JwtConfig | null;
}
/** Whose tokens are taken, and what is read in them. */
export interface JwtConfig {
  readonly issuer: string;
  readonly audience: string;
  readonly keys: { readonly type: "file"; readonly path: string } | { readonly type: "url"; readonly url: string };
  readonly algorithms: readonly string[];
  readonly roleClaim: string;
  readonly prefixClaim: string;
  readonly skewMs: number;
  /** 0 = as long as the issuer says. */
  readonly maxAgeMs: number;
}

const rolesOfSettings = ["admin", "writer", "reader"] as const;

interface ListReader extends SettingReader {
  list(name: SettingName): readonly string[] | null;
}

/** Signatures with a key that only the issuer has. None with a secret that nodes share, and never `none`. */
export const tokenAlgorithms: readonly string[] = [
  "RS256",
  "RS384",
  "RS512",
  "PS256",
  "PS384",
  "PS512",
  "ES256",
  "ES384",
  "ES512",
  "EdDSA",
  "Ed25519",
];

/** Plain HTTP would let anybody on the way put a key of his own among the issuer's. */
function readTokenKeys(values: SettingReader): JwtConfig["keys"] {
  const text = values.text("JWT_KEYS") ?? "";
  if (!text.includes("://")) {
    if (text === "") values.bad("JWT_KEYS", "a file with the issuer's public key or JWKS, or the https address of the JWKS");
    return { type: "file", path: text };
  }
  const url = URL.canParse(text) ? new URL(text) : null;
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopbackHost(url.hostname));
  if (url === null || !isSafe) values.bad("JWT_KEYS", "an https address (http only of this machine), or a file");
  else if (url.username !== "" || url.password !== "") values.bad("JWT_KEYS", "an address without a name and a password");
  return { type: "url", url: text };
}
const isLoopbackHost = (host: string): boolean => host === "localhost" || host === "[::1]" || host.startsWith("127.");

function readJwt(values: ListReader): JwtConfig {
  const needed = (name: "JWT_ISSUER" | "JWT_AUDIENCE", what: string): string => {
    const text = values.text(name);
    if (text === null) values.bad(name, `${what}: without it tokens that were made for somebody else would be taken`);
    return text ?? "";
  };
  const algorithms = values.list("JWT_ALGORITHMS") ?? [];
  if (algorithms.length === 0 || !algorithms.every((name) => tokenAlgorithms.includes(name)))
    values.bad("JWT_ALGORITHMS", `any of ${tokenAlgorithms.join(", ")}`);
  return {
    issuer: needed("JWT_ISSUER", "the claim iss of the tokens"),
    audience: needed("JWT_AUDIENCE", "the claim aud of tokens for this cluster"),
    keys: readTokenKeys(values),
    algorithms,
    roleClaim: values.text("JWT_ROLE_CLAIM") ?? "",
    prefixClaim: values.text("JWT_PREFIX_CLAIM") ?? "",
    skewMs: values.number("JWT_CLOCK_SKEW_SECONDS") * 1_000,
    maxAgeMs: values.number("JWT_MAX_AGE_SECONDS") * 1_000,
  };
}

/** Set without the mode that reads it, each of these is meant to be asked for: the node would be open although somebody had locked it. */
function checkUnused(values: ListReader, mode: string | null): void {
  const jwtNames = ["JWT_KEYS", "JWT_ISSUER", "JWT_AUDIENCE"] as const;
  const unused = (mode === "jwt" ? [] : jwtNames).find((name) => values.text(name) !== null);
  if (unused !== undefined) values.bad(unused, "AUTH_MODE=jwt beside it: without that nobody is asked for a token");
  if (mode === "keys" || mode === "jwt") return;
  if (values.text("ACCESS_FILE") !== null) values.bad("ACCESS_FILE", "AUTH_MODE=keys beside it: without that nobody is asked for a key");
  else if (values.list("API_KEYS") !== null) values.bad("API_KEYS", "AUTH_MODE=keys beside it: without that nobody is asked for a key");
}

export function readAccess(values: ListReader, production: boolean): AccessConfig | null {
  const file = values.text("ACCESS_FILE");
  const listed = values.list("API_KEYS");
  const mode = values.text("AUTH_MODE");
  checkUnused(values, mode);
  if (mode !== "keys" && mode !== "jwt") return null;
  const keys = (listed ?? []).map((item) => {
    const [, role = "admin", key = ""] = /^(?:([a-z]+)=)?(.*)$/.exec(item) ?? [];
    const known = rolesOfSettings.find((name) => name === role);
    if (known === undefined) values.bad("API_KEYS", `ROLE=KEY with ${rolesOfSettings.join(", ")} for the role, or a key alone for admin`);
    else if (key.length < minMacKeyCharacters) values.bad("API_KEYS", `keys of ${minMacKeyCharacters} characters or more`);
    else if (production && sampleSecrets.some((sample) => key.toLowerCase().includes(sample)))
      values.bad("API_KEYS", "keys of your own: one of these is a sample");
    return { role: known ?? "reader", key };
  });
  if (mode === "keys" && file === null && keys.length === 0)
    values.bad("AUTH_MODE", "ACCESS_FILE or API_KEYS beside it: nobody would be let in");
  return { file, keys, jwt: mode === "jwt" ? readJwt(values) : null };
}

export interface AuditConfig {
  readonly path: string;
  readonly key: string;
  /** A file that is as long is put aside, and another one goes on with the chain. */
  readonly maxBytes: number;
}

/** A chain that anybody could write anew would prove nothing: there is no audit log without a key. */
export function readAudit(values: SettingReader, production: boolean): AuditConfig | null {
  const path = values.text("AUDIT_LOG");
  const key = values.text("AUDIT_KEY");
  if (path === null || path === "off") return null;
  if (key === null) values.bad("AUDIT_LOG", "AUDIT_KEY beside it, which seals its lines");
  else if (key.length < minMacKeyCharacters) values.bad("AUDIT_KEY", `${minMacKeyCharacters} characters or more`);
  else if (production && sampleSecrets.some((sample) => key.toLowerCase().includes(sample)))
    values.bad("AUDIT_KEY", "a key of your own: this one is a sample");
  return { path, key: key ?? "", maxBytes: values.number("AUDIT_MAX_BYTES") };
}

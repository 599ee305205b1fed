import { createHash, createPublicKey, type JsonWebKey, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { exitCodes } from "@trivet/contract";
import type { JwtConfig } from "../config/access.ts";
import { ConfigError } from "../config/errors.ts";
import type { AccessTools } from "./access-control.ts";

/** A set at a URL is asked for again so often; after a failure, and for a key that is not in it, at most so often. */
const refreshEveryMs = 600_000;
const retryEveryMs = 30_000;
/** A set that could not be asked for again is worth nothing after so long: a key that its issuer gave up must end some day. */
const keepForMs = 86_400_000;
const answerWithinMs = 5_000;
const maxSetBytes = 1_048_576;
const maxKeys = 64;
const minRsaBits = 2_048;

/** A public key of the issuer. */
export interface TokenKey {
  /** Null = of a file that names none: it is tried for every token. */
  readonly id: string | null;
  /** The one algorithm it is for, where the set says so. */
  readonly algorithm: string | null;
  readonly key: KeyObject;
  /** The same for the same key, whatever it is called. */
  readonly thumbprint: string;
}

class BadSet extends Error {}

function readKey(of: string | JsonWebKey, what: string): KeyObject {
  try {
    return createPublicKey(typeof of === "string" ? of : { key: of, format: "jwk" });
  } catch {
    throw new BadSet(`${what} is no public key that can be read`);
  }
}

function publicKey(of: string | JsonWebKey, what: string): Pick<TokenKey, "key" | "thumbprint"> {
  const key = readKey(of, what);
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (bits !== undefined && bits < minRsaBits) throw new BadSet(`${what} is an RSA key of ${bits} bits; ${minRsaBits} are needed`);
  const spki = key.export({ type: "spki", format: "der" });
  return { key, thumbprint: createHash("sha256").update(spki).digest("hex") };
}

const curves: Readonly<Record<string, string>> = { ES256: "prime256v1", ES384: "secp384r1", ES512: "secp521r1" };

/** Is the key of the kind that the algorithm works with? A token says which algorithm it wants; the key decides whether it is that one. */
export function fits({ algorithm, key }: TokenKey, wanted: string): boolean {
  if (algorithm !== null && algorithm !== wanted) return false;
  const { asymmetricKeyType: type, asymmetricKeyDetails } = key;
  if (wanted === "EdDSA" || wanted === "Ed25519") return type === "ed25519";
  const curve = curves[wanted];
  return curve === undefined ? type === "rsa" : type === "ec" && asymmetricKeyDetails?.namedCurve === curve;
}

const textOrNull = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);

function keyOfSet(value: unknown, index: number): TokenKey | null {
  const what = `key ${index + 1}`;
  if (typeof value !== "object" || value === null) throw new BadSet(`${what} is no key`);
  const jwk = value as Readonly<Record<string, unknown>>;
  // Whoever can check with such a key can sign with it: then each node could be anybody.
  if (jwk["kty"] === "oct") throw new BadSet(`${what} is a shared secret (kty "oct"); only public keys are taken`);
  if ("d" in jwk) throw new BadSet(`${what} is a private key; it belongs to the issuer alone`);
  if (jwk["use"] === "enc") return null;
  return { id: textOrNull(jwk["kid"]), algorithm: textOrNull(jwk["alg"]), ...publicKey(jwk, what) };
}

/** Throws BadSet. */
export function parseTokenKeys(text: string): readonly TokenKey[] {
  if (text.includes("-----BEGIN ")) {
    if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw new BadSet("it holds a private key; it belongs to the issuer alone");
    const blocks = text.match(/-----BEGIN (?:PUBLIC KEY|CERTIFICATE)-----[^-]+-----END [A-Z ]+-----/g) ?? [];
    if (blocks.length === 0 || blocks.length > maxKeys)
      throw new BadSet(`it holds ${blocks.length} public keys, where 1 to ${maxKeys} are expected`);
    return blocks.map((block, index) => ({ id: null, algorithm: null, ...publicKey(block, `key ${index + 1}`) }));
  }
  let set: unknown;
  try {
    set = JSON.parse(text);
  } catch {
    throw new BadSet("it is neither PEM nor JSON");
  }
  const listed = (set as { readonly keys?: unknown } | null)?.keys;
  if (!Array.isArray(listed) || listed.length > maxKeys) throw new BadSet(`expected a JWKS, {"keys": [...]}, of at most ${maxKeys} keys`);
  const keys = listed.map(keyOfSet).filter((key) => key !== null);
  if (keys.length === 0) throw new BadSet("it holds no key for signatures");
  return keys;
}

async function download(url: string): Promise<string> {
  // Redirected, the set would come from somewhere that nobody has named.
  const answer = await fetch(url, {
    redirect: "error",
    signal: AbortSignal.timeout(answerWithinMs),
    headers: { accept: "application/json" },
  });
  if (!answer.ok) throw new BadSet(`it answered with status ${answer.status}`);
  let text = "";
  const decoder = new TextDecoder();
  for await (const piece of answer.body ?? []) {
    text += decoder.decode(piece as Uint8Array, { stream: true });
    if (text.length > maxSetBytes) throw new BadSet(`it is longer than ${maxSetBytes} bytes`);
  }
  return text;
}

const whyOf = (error: unknown): string => {
  const { message, cause } = error as Error;
  return cause instanceof Error ? `${message}: ${cause.message}` : message;
};

/** A file of JWT_KEYS. Throws ConfigError. */
export function readTokenKeys(path: string): { readonly keys: readonly TokenKey[]; readonly text: string } {
  try {
    const text = readFileSync(path, "utf8");
    return { keys: parseTokenKeys(text), text };
  } catch (error) {
    throw new ConfigError(
      exitCodes.configuration,
      `JWT_KEYS: ${path}: ${whyOf(error)}`,
      [],
      "name a file with the issuer's public key (PEM), its JWKS, or the https address of the JWKS",
    );
  }
}

/** The issuer's keys, from a file or a URL, as they are now. What is not good changes nothing and is told. */
export class TokenKeys {
  private readonly source: JwtConfig["keys"];
  private readonly tools: AccessTools;
  private readonly lookEveryMs: number;
  private keys: readonly TokenKey[] = [];
  private text = "";
  private refusedFault = "";
  private loadedAt = 0;
  private triedAt = Number.NEGATIVE_INFINITY;
  private loading: Promise<void> | null = null;
  private timer: NodeJS.Timeout | null = null;

  /** A file must be good now (throws ConfigError); a URL that does not answer must not keep a cluster from starting. */
  constructor(source: JwtConfig["keys"], lookEveryMs: number, tools: AccessTools) {
    this.source = source;
    this.tools = tools;
    this.lookEveryMs = lookEveryMs;
    if (source.type === "url") return;
    const { keys, text } = readTokenKeys(source.path);
    this.take(keys, text);
  }

  start(): void {
    if (this.source.type === "url") void this.load();
    // The set at a URL is looked at when it is due; the tick itself costs nothing.
    this.timer = setInterval(() => void this.lookIfDue(), this.lookEveryMs);
    this.timer.unref();
  }
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** Keys of this name, and those that have none; all when the token names none. Null = there are no keys yet. */
  async candidates(id: string | null): Promise<readonly TokenKey[] | null> {
    const found = this.named(id);
    if (found.length > 0 || this.source.type === "file") return found;
    // A new key of the issuer; not for every token that somebody invents.
    if (this.loading !== null || this.tools.wallNow() - this.triedAt >= retryEveryMs) await this.load();
    return this.current().length === 0 ? null : this.named(id);
  }

  /** Is it one of the issuer's still? */
  has(thumbprint: string): boolean {
    return this.current().some((key) => key.thumbprint === thumbprint);
  }

  /** Reads the file, or asks the URL, again. */
  load(): Promise<void> {
    this.loading ??= this.loadOnce().finally(() => (this.loading = null));
    return this.loading;
  }

  private current(): readonly TokenKey[] {
    const isOld = this.source.type === "url" && this.tools.wallNow() - this.loadedAt > keepForMs;
    return isOld ? [] : this.keys;
  }
  private named(id: string | null): readonly TokenKey[] {
    return this.current().filter((key) => id === null || key.id === null || key.id === id);
  }

  private async lookIfDue(): Promise<void> {
    const now = this.tools.wallNow();
    const dueAfterMs = this.refusedFault === "" && this.keys.length > 0 ? refreshEveryMs : retryEveryMs;
    if (this.source.type === "file" || now - this.triedAt >= dueAfterMs) await this.load();
  }

  private async loadOnce(): Promise<void> {
    const { source, tools } = this;
    this.triedAt = tools.wallNow();
    try {
      const text = source.type === "file" ? await readFile(source.path, "utf8") : await download(source.url);
      const isNew = text !== this.text;
      if (isNew) this.take(parseTokenKeys(text), text);
      this.refusedFault = "";
      this.loadedAt = tools.wallNow();
      if (!isNew) return;
      tools.count("token_keys_loads_total", 1, { outcome: "loaded" });
      tools.log("info", "token-keys.loaded", `JWT_KEYS: ${this.keys.length} keys of the issuer are in force from now on`);
    } catch (error) {
      const fault = `JWT_KEYS: ${source.type === "file" ? source.path : source.url}: ${whyOf(error)}`;
      tools.count("token_keys_loads_total", 1, { outcome: "refused" });
      if (this.refusedFault === fault) return;
      this.refusedFault = fault;
      tools.log(
        "error",
        "token-keys.refused",
        `the keys of before stay in force${this.keys.length === 0 ? " (there are none: no token is accepted)" : ""}: ${fault}`,
      );
    }
  }

  private take(keys: readonly TokenKey[], text: string): void {
    this.keys = keys;
    this.text = text;
    this.loadedAt = this.tools.wallNow();
  }
}

import { timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { exitCodes, type RouteId } from "@trivet/contract";
import type { AccessConfig } from "../config/access.ts";
import { ConfigError } from "../config/errors.ts";
import { failure, type Failure } from "../http/answer.ts";
import { readAccessFile, type AccessFile, type KeyRecord } from "./access-file.ts";
import { parseKey, provesKey, sha256, whyNot } from "./keys.ts";
import {
  allows,
  allowsListing,
  allowsSome,
  builtInRoles,
  type Identity,
  isUnlimitedWriter,
  narrowed,
  type Resource,
  type Rule,
} from "./policy.ts";
import { furtherNeeds, namesIn, prefixIn, rights } from "./rights.ts";
import { looksLikeToken, Tokens, type Token } from "./tokens.ts";

/** The file is compared so often: a key that was revoked works no longer than this. */
const lookEveryMs = 2_000;

export interface AccessTools {
  readonly log: (level: "info" | "warn" | "error", event: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly count: (name: string, by: number, labels?: Readonly<Record<string, string>>) => void;
  readonly wallNow: () => number;
}
interface SettingKey {
  readonly hash: Buffer;
  readonly identity: Identity;
}
type Parts = Parameters<typeof namesIn>[1];

const nothing: AccessFile = { roles: new Map(), keys: [] };
const unauthorized = (why: string): Failure =>
  failure("unauthorized", { values: { reason: why }, headers: { "www-authenticate": "Bearer" } });

/** Something that stays open for a caller: a watch, a stream. */
interface Open {
  readonly identity: Identity;
  /** Why it may not go on; null = it may. */
  readonly whyNot: () => string | null;
  readonly end: (code: "unauthorized" | "forbidden", why: string) => void;
}

/** Who calls, and what they may do. Deny by default: a path, a verb or a name that no rule allows is refused, and so is whoever is unknown. */
export class AccessControl {
  private readonly path: string | null;
  private readonly fromSettings: readonly SettingKey[];
  private readonly tools: AccessTools;
  private file: AccessFile = nothing;
  private text = "";
  private refusedFault = "";
  private timer: NodeJS.Timeout | null = null;
  private isLooking = false;
  private readonly tokens: Tokens | null;
  private readonly open = new Set<Open>();

  /** Throws ConfigError: a node whose rules cannot be read lets nobody in by not starting. */
  constructor(config: AccessConfig, tools: AccessTools) {
    this.path = config.file;
    this.tools = tools;
    this.tokens = config.jwt === null ? null : new Tokens(config.jwt, lookEveryMs, tools);
    this.fromSettings = config.keys.map(({ role, key }, index) => ({
      hash: sha256(key),
      identity: { principal: `key:API_KEYS ${index + 1}`, roles: [role], rules: builtInRoles.get(role) ?? [], whyEnded: () => null },
    }));
    if (this.path === null) return;
    const outcome = readAccessFile(this.path);
    if (outcome.type === "bad")
      throw new ConfigError(
        exitCodes.configuration,
        outcome.fault,
        [],
        "correct the file, or make one with: trivet key create NAME --role admin",
      );
    ({ file: this.file, text: this.text } = outcome);
  }

  start(): void {
    this.timer = setInterval(() => void this.tick(), lookEveryMs);
    this.timer.unref();
    this.tokens?.keys.start();
  }
  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
    this.tokens?.keys.stop();
  }

  private async tick(): Promise<void> {
    if (this.path !== null) await this.lookIfChanged(this.path);
    this.recheck();
  }

  /** Ends what stays open for callers that may no longer have it: a key was revoked, a role narrowed, a token has ended. */
  recheck(): void {
    for (const { identity, whyNot: whyNotNow, end } of this.open) {
      const ended = identity.whyEnded();
      const why = ended ?? whyNotNow();
      if (why === null) continue;
      this.tools.count("access_refused_total", 1, { reason: "ended" });
      this.tools.log("info", "access.ended", `what was open for ${identity.principal} was closed: ${why}`, {
        principal: identity.principal,
      });
      end(ended === null ? "forbidden" : "unauthorized", why);
    }
  }

  /** `end` is called once when the caller may no longer have what is open; the answer is called when it is over before that. */
  whileAllowed(identity: Identity, whyNotNow: Open["whyNot"], end: Open["end"]): () => void {
    const open: Open = {
      identity,
      whyNot: whyNotNow,
      end: (...why) => {
        this.open.delete(open);
        end(...why);
      },
    };
    this.open.add(open);
    return () => void this.open.delete(open);
  }

  /** Without holding up the node: a volume that hangs must not. */
  private async lookIfChanged(path: string): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      if ((await readFile(path, "utf8")) !== this.text) this.look();
    } catch {
      // It says itself what is missing.
      this.look();
    } finally {
      this.isLooking = false;
    }
  }

  /** Reads the file again. One that is not good changes nothing and is told once: half a file must not open or close anything. */
  look(): void {
    if (this.path === null) return;
    const outcome = readAccessFile(this.path);
    if (outcome.type === "bad") {
      if (this.refusedFault === outcome.fault) return;
      this.refusedFault = outcome.fault;
      this.tools.log("error", "access.refused-file", `the rules of before stay in force: ${outcome.fault}`);
      return;
    }
    this.refusedFault = "";
    if (outcome.text === this.text) return;
    ({ file: this.file, text: this.text } = outcome);
    this.tools.log(
      "info",
      "access.loaded",
      `ACCESS_FILE: ${outcome.file.keys.length} keys and ${outcome.file.roles.size} roles are in force from now on`,
    );
  }

  /** Whose credential it is. `authorization` is the header as it came. A promise for tokens that were not seen before. */
  recognize(authorization: string | undefined, address = ""): Identity | Failure | Promise<Identity | Failure> {
    const { tokens } = this;
    const token = bearer(authorization);
    if (tokens === null || token === undefined || !looksLikeToken(token)) return this.identify(authorization, address);
    const checked = tokens.check(token);
    const told = (verdict: Awaited<typeof checked>): Identity | Failure =>
      "refused" in verdict ? this.refuse(`token_${verdict.refused}`, verdict.why, address) : this.identityOfToken(tokens, verdict);
    return checked instanceof Promise ? checked.then(told) : told(checked);
  }

  /** The same, of keys alone. */
  identify(authorization: string | undefined, address = ""): Identity | Failure {
    if (authorization === undefined || authorization === "") return this.refuse("none", "The request carried no credential.", address);
    const token = bearer(authorization);
    if (token === undefined) return this.refuse("form", "The header Authorization is not `Bearer <key>`.", address);
    return this.ofSettings(token) ?? this.ofFile(token, address);
  }

  /** Null = allowed. */
  judge(identity: Identity, id: RouteId, parts: Parts): Failure | null {
    const why = this.whyNot(identity, id, parts);
    return why === null ? null : this.forbid(identity, why);
  }

  /** The same, told to nobody. */
  whyNot(identity: Identity, id: RouteId, parts: Parts): string | null {
    const refused = this.judgeNames(identity, id, parts);
    if (refused !== null) return refused;
    const missing = furtherNeeds(id, parts).find(({ name, right }) => !allows(identity, right.verb, right.resource, name));
    if (missing === undefined) return null;
    const { name, right } = missing;
    return `${identity.principal} may not ${right.verb} the ${nounOf(right.resource)} "${name}".`;
  }

  private judgeNames(identity: Identity, id: RouteId, parts: Parts): string | null {
    const right = rights[id];
    if (right === null) return null;
    const { verb, resource } = right;
    const forbid = (what: string): string => `${identity.principal} may not ${verb} ${what}.`;
    if (right.names === "own") return allowsSome(identity, verb, resource) ? null : forbid(resource);
    if (right.names === "prefix") {
      const prefix = prefixIn(parts);
      if (allowsListing(identity, verb, resource, prefix)) return null;
      return forbid(prefix === "" ? `all ${resource}; name a prefix that its role has` : `${resource} below "${prefix}"`);
    }
    const names = namesIn(right, parts);
    if (names === null)
      return allows(identity, verb, resource, null)
        ? null
        : forbid(resource === "cluster" ? "the cluster" : `${resource} that it does not name`);
    // Each of them: one allowed name must not carry another one in.
    const bad = names.find((name) => !allows(identity, verb, resource, name));
    return bad === undefined ? null : forbid(`the ${nounOf(resource)} "${bad}"`);
  }

  /** The stream carries commands of any name, in frames that the node passes on as they are. */
  judgeStream(identity: Identity): Failure | null {
    const why = whyNoStream(identity);
    return why === null ? null : this.forbid(identity, why);
  }

  private ofSettings(token: string): Identity | null {
    const hash = sha256(token);
    let found: Identity | null = null;
    // All are compared, so that the time tells nothing of which.
    for (const key of this.fromSettings) if (timingSafeEqual(key.hash, hash)) found = key.identity;
    return found;
  }

  private ofFile(token: string, address: string): Identity | Failure {
    const parsed = parseKey(token);
    const record = parsed === null ? undefined : this.file.keys.find((key) => key.id === parsed.id);
    if (parsed === null || record === undefined || !provesKey(record, parsed.secret))
      return this.refuse("unknown", "The credential is not known here.", address);
    const fault = whyNot(record, this.tools.wallNow());
    if (fault !== null)
      return this.refuse(fault, fault === "revoked" ? "The key was revoked." : `The key ended on ${record.expires ?? ""}.`, address);
    return this.identityOf(record);
  }

  private identityOf(record: KeyRecord): Identity {
    const now = (): KeyRecord | undefined => this.file.keys.find((key) => key.id === record.id);
    const whyEnded = (): string | null => {
      const key = now();
      if (key === undefined) return "the key was taken out of the file";
      const fault = whyNot(key, this.tools.wallNow());
      if (fault === null) return null;
      return fault === "expired" ? "the key has ended" : "the key was revoked";
    };
    const rulesNow = (): readonly Rule[] => (whyEnded() === null ? this.rulesOf(now()?.role ?? "") : []);
    return {
      principal: `key:${record.name}`,
      roles: [record.role],
      // A stream stays open while its key is given another role.
      get rules() {
        return rulesNow();
      },
      whyEnded,
    };
  }

  private identityOfToken(tokens: Tokens, token: Token): Identity {
    const whyEnded = (): string | null => tokens.whyEnded(token);
    const rulesNow = (): readonly Rule[] => {
      if (whyEnded() !== null) return [];
      // What a role means is said here, by the file: a token can only name it.
      const rules = token.roles.flatMap((role) => this.rulesOf(role));
      return token.prefixes === null ? rules : narrowed(rules, token.prefixes);
    };
    return {
      principal: token.principal,
      roles: token.roles,
      get rules() {
        return rulesNow();
      },
      whyEnded,
    };
  }

  private rulesOf(role: string): readonly Rule[] {
    return builtInRoles.get(role) ?? this.file.roles.get(role) ?? [];
  }

  private refuse(reason: string, why: string, address: string): Failure {
    this.tools.count("access_refused_total", 1, { reason });
    this.tools.log("warn", "access.refused", `a caller was refused: ${why}`, { reason, address });
    return unauthorized(why);
  }
  private forbid(identity: Identity, why: string): Failure {
    this.tools.count("access_refused_total", 1, { reason: "forbidden" });
    this.tools.log("warn", "access.forbidden", why, { principal: identity.principal });
    return failure("forbidden", { values: { reason: why } });
  }
}

/** What a stream needs that its caller does not have; null = nothing. */
export const whyNoStream = (identity: Identity): string | null =>
  isUnlimitedWriter(identity)
    ? null
    : `${identity.principal} is limited to some names or may not write; such keys call over HTTP, the stream of the SDK is for those that may write everywhere.`;

/** Undefined = it is of no such form. */
const bearer = (authorization: string | undefined): string | undefined => /^Bearer +(\S+)$/i.exec(authorization ?? "")?.[1];

const nounOf = (resource: Resource): string => (resource === "cache" ? "cached value" : resource.slice(0, -1));

import { readFileSync } from "node:fs";
import { parseStrictJson } from "../json/strict-json.ts";
import { builtInRoles, resources, verbs, type Resource, type Rule, type Verb } from "./policy.ts";

/** One key, as the file holds it: the secret itself is shown once, when the key is made. */
export interface KeyRecord {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  /** SHA-256 of the secret, which has 256 random bits: nothing slower is needed (reference: API keys). */
  readonly sha256: string;
  readonly created: string;
  readonly expires: string | null;
  readonly revoked: string | null;
}
/** Roles of one's own, and keys. */
export interface AccessFile {
  readonly roles: ReadonlyMap<string, readonly Rule[]>;
  readonly keys: readonly KeyRecord[];
}
export type AccessFileOutcome =
  | { readonly type: "good"; readonly file: AccessFile; readonly text: string }
  | { readonly type: "bad"; readonly fault: string };

class BadFile extends Error {}

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;
const maxKeys = 10_000;
const maxRoles = 1_000;
const maxRules = 256;
const keyFields = ["id", "name", "role", "sha256", "created", "expires", "revoked"];

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function text(value: unknown, what: string, pattern: RegExp): string {
  if (typeof value !== "string" || !pattern.test(value))
    throw new BadFile(`${what} is ${JSON.stringify(value)?.slice(0, 80) ?? "missing"}`);
  return value;
}
function dateOrNull(value: unknown, what: string): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "string" || Number.isNaN(Date.parse(value))) throw new BadFile(`${what} is no date`);
  return value;
}

function onlyFields(value: Readonly<Record<string, unknown>>, known: readonly string[], what: string): void {
  const other = Object.keys(value).find((name) => !known.includes(name));
  if (other !== undefined) throw new BadFile(`${what}: ${JSON.stringify(other)} is not known`);
}

function parseRule(value: unknown, what: string): Rule {
  if (!isRecord(value)) throw new BadFile(`${what} is no rule`);
  // A name that is spelled wrong would leave out what limits the rule.
  onlyFields(value, ["verbs", "resource", "prefix"], what);
  const { verbs: allowed, resource, prefix = "" } = value;
  if (!Array.isArray(allowed) || allowed.length === 0 || !allowed.every((verb): verb is Verb => verbs.some((known) => known === verb)))
    throw new BadFile(`${what}: verbs are any of ${verbs.join(", ")}`);
  if (!resources.some((known) => known === resource)) throw new BadFile(`${what}: resource is one of ${resources.join(", ")}`);
  if (typeof prefix !== "string" || Buffer.byteLength(prefix) > 512) throw new BadFile(`${what}: prefix is text of at most 512 bytes`);
  if (resource === "cluster" && prefix !== "") throw new BadFile(`${what}: the cluster has no names, so no prefix`);
  return { verbs: allowed, resource: resource as Resource, prefix };
}

function parseRoles(value: unknown): ReadonlyMap<string, readonly Rule[]> {
  if (!isRecord(value) || Object.keys(value).length > maxRoles) throw new BadFile(`roles is an object of at most ${maxRoles} roles`);
  return new Map(
    Object.entries(value).map(([name, rules]) => {
      text(name, "the name of a role", namePattern);
      if (builtInRoles.has(name)) throw new BadFile(`the role ${name} is built in: give yours another name`);
      if (!Array.isArray(rules) || rules.length > maxRules) throw new BadFile(`role ${name} is a list of at most ${maxRules} rules`);
      return [name, rules.map((rule, index) => parseRule(rule, `role ${name}, rule ${index + 1}`))];
    }),
  );
}

function parseKey(value: unknown, index: number, roles: ReadonlyMap<string, readonly Rule[]>): KeyRecord {
  const what = `key ${index + 1}`;
  if (!isRecord(value)) throw new BadFile(`${what} is no key`);
  onlyFields(value, keyFields, what);
  const role = text(value["role"], `the role of ${what}`, namePattern);
  // A key whose role is gone would have no rights: somebody made a mistake, and a mistake is told.
  if (!roles.has(role) && !builtInRoles.has(role)) throw new BadFile(`${what} has the role ${role}, which does not exist`);
  return {
    id: text(value["id"], `the id of ${what}`, /^[a-z0-9]{4,32}$/),
    name: text(value["name"], `the name of ${what}`, namePattern),
    role,
    sha256: text(value["sha256"], `the hash of ${what}`, /^[0-9a-f]{64}$/),
    created: dateOrNull(value["created"], `created of ${what}`) ?? "",
    expires: dateOrNull(value["expires"], `expires of ${what}`),
    revoked: dateOrNull(value["revoked"], `revoked of ${what}`),
  };
}

/** Throws BadFile. */
function parse(content: string): AccessFile {
  const outcome = parseStrictJson(content, 8);
  if (outcome.type === "fault")
    throw new BadFile(`not valid JSON at line ${outcome.fault.line}, column ${outcome.fault.column}: ${outcome.fault.message}`);
  const { value } = outcome;
  if (!isRecord(value)) throw new BadFile('expected an object with "roles" and "keys"');
  for (const name of Object.keys(value)) if (!["version", "roles", "keys"].includes(name)) throw new BadFile(`"${name}" is not known here`);
  if (value["version"] !== 1) throw new BadFile('"version" is 1');
  const roles = parseRoles(value["roles"] ?? {});
  const listed = value["keys"] ?? [];
  if (!Array.isArray(listed) || listed.length > maxKeys) throw new BadFile(`keys is a list of at most ${maxKeys} keys`);
  const keys = listed.map((key, index) => parseKey(key, index, roles));
  const ids = new Set(keys.map(({ id }) => id));
  if (ids.size !== keys.length) throw new BadFile("two keys have the same id");
  return { roles, keys };
}

/** Reads ACCESS_FILE; one line says what is wrong with it. */
export function readAccessFile(path: string): AccessFileOutcome {
  let content: string;
  try {
    content = readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const why = code === "ENOENT" ? "there is no such file; trivet key create makes it" : `it cannot be read (${code})`;
    return { type: "bad", fault: `ACCESS_FILE: ${path}: ${why}` };
  }
  try {
    return { type: "good", file: parse(content), text: content };
  } catch (error) {
    if (!(error instanceof BadFile)) throw error;
    return { type: "bad", fault: `ACCESS_FILE: ${path}: ${error.message}` };
  }
}

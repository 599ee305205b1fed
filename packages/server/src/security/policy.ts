/** What a caller may do with a kind of thing. `admin`: force, delete, change members, see everybody's sessions. */
export const verbs = ["read", "write", "admin"] as const;
export type Verb = (typeof verbs)[number];
export const resources = ["locks", "queues", "cache", "cluster"] as const;
export type Resource = (typeof resources)[number];

/** Allows; there are no rules that forbid. What no rule allows is forbidden. */
export interface Rule {
  readonly verbs: readonly Verb[];
  readonly resource: Resource;
  /** Of names of locks or queues, or of namespaces and keys of the cache (`users/42`), whole segments; "" = all. */
  readonly prefix: string;
}

/** Somebody with a valid credential. */
export interface Identity {
  /** `key:billing`, `jwt:alice`: the principal of what it holds. */
  readonly principal: string;
  readonly roles: readonly string[];
  readonly rules: readonly Rule[];
  /** Why its credential is worth nothing any more (revoked, ended); null = it is good. For connections that stay open. */
  readonly whyEnded: () => string | null;
}

const everything = (allowed: readonly Verb[]): readonly Rule[] => resources.map((resource) => ({ verbs: allowed, resource, prefix: "" }));

/** Roles that are always there. A role of one's own may not have one of these names. */
export const builtInRoles: ReadonlyMap<string, readonly Rule[]> = new Map([
  ["admin", everything(verbs)],
  [
    "writer",
    [
      { verbs: ["read", "write"], resource: "locks", prefix: "" },
      { verbs: ["read", "write"], resource: "queues", prefix: "" },
      { verbs: ["read", "write"], resource: "cache", prefix: "" },
      { verbs: ["read"], resource: "cluster", prefix: "" },
    ],
  ],
  ["reader", everything(["read"])],
]);

/** Where one segment of a name ends. */
const separators: ReadonlySet<string> = new Set(["/", ":", "."]);

/** `orders` covers `orders`, `orders/1` and `orders:1`, and never `orders2`. */
export function covers(prefix: string, name: string): boolean {
  if (prefix === "" || name === prefix) return true;
  if (!name.startsWith(prefix)) return false;
  return separators.has(prefix.at(-1) ?? "") || separators.has(name[prefix.length] ?? "");
}

/** One name, or every name (null), which only a rule without prefix allows. */
export function allows(identity: Identity, verb: Verb, resource: Resource, name: string | null): boolean {
  return identity.rules.some(
    (rule) => rule.resource === resource && rule.verbs.includes(verb) && (name === null ? rule.prefix === "" : covers(rule.prefix, name)),
  );
}

/** What is listed by a prefix lies below it, whatever its names: a rule must reach as far. */
export function allowsListing(identity: Identity, verb: Verb, resource: Resource, prefix: string): boolean {
  return identity.rules.some((rule) => {
    if (rule.resource !== resource || !rule.verbs.includes(verb)) return false;
    if (rule.prefix === "") return true;
    // `orders` alone would list `orders2` as well: the listing has to end where a segment does.
    return separators.has(prefix.at(-1) ?? "") && covers(rule.prefix, prefix);
  });
}

/** Some right to the kind of thing, for calls that name none: sessions belong to who opened them. */
export function allowsSome(identity: Identity, verb: Verb, resource: Resource): boolean {
  return identity.rules.some((rule) => rule.resource === resource && rule.verbs.includes(verb));
}

/** Rules as far as they are about names below one of `prefixes`. The cluster has no names, so nothing of it remains. */
export function narrowed(rules: readonly Rule[], prefixes: readonly string[]): readonly Rule[] {
  return rules
    .filter(({ resource }) => resource !== "cluster")
    .flatMap((rule) =>
      prefixes.flatMap((prefix) => {
        if (covers(rule.prefix, prefix)) return [{ ...rule, prefix }];
        return covers(prefix, rule.prefix) ? [rule] : [];
      }),
    );
}

/** Every right that a writer has, wherever: for the stream, whose frames carry commands of any name. */
export function isUnlimitedWriter(identity: Identity): boolean {
  return (["locks", "queues", "cache"] as const).every((resource) =>
    (["read", "write"] as const).every((verb) => allows(identity, verb, resource, null)),
  );
}

import type { SettingReader } from "./redis.ts";
import { minMacKeyCharacters, sampleSecrets } from "@trivet/contract";

/** Access control of a node; null where AUTH_MODE is none. */
export interface AccessConfig {
  readonly file: string | null;
  readonly keys: readonly { readonly role: "admin" | "writer" | "reader"; readonly key: string }[];
}

const rolesOfSettings = ["admin", "writer", "reader"] as const;

export function readAccess(values: SettingReader, listed: readonly string[] | null, production: boolean): AccessConfig | null {
  const file = values.text("ACCESS_FILE");
  if (values.text("AUTH_MODE") !== "keys") {
    // Keys that are set are meant to be asked for: a node that ignored them would be open although somebody had locked it.
    if (file !== null) values.bad("ACCESS_FILE", "AUTH_MODE=keys beside it: without that nobody is asked for a key");
    else if (listed !== null) values.bad("API_KEYS", "AUTH_MODE=keys beside it: without that nobody is asked for a key");
    return null;
  }
  const keys = (listed ?? []).map((item) => {
    const [, role = "admin", key = ""] = /^(?:([a-z]+)=)?(.*)$/.exec(item) ?? [];
    const known = rolesOfSettings.find((name) => name === role);
    if (known === undefined) values.bad("API_KEYS", `ROLE=KEY with ${rolesOfSettings.join(", ")} for the role, or a key alone for admin`);
    else if (key.length < minMacKeyCharacters) values.bad("API_KEYS", `keys of ${minMacKeyCharacters} characters or more`);
    else if (production && sampleSecrets.some((sample) => key.toLowerCase().includes(sample)))
      values.bad("API_KEYS", "keys of your own: one of these is a sample");
    return { role: known ?? "reader", key };
  });
  if (file === null && keys.length === 0) values.bad("AUTH_MODE", "ACCESS_FILE or API_KEYS beside it: nobody would be let in");
  return { file, keys };
}

/** A chain that anybody could write anew would prove nothing: there is no audit log without a key. */
export function readAudit(values: SettingReader, production: boolean): { readonly path: string; readonly key: string } | null {
  const path = values.text("AUDIT_LOG");
  const key = values.text("AUDIT_KEY");
  if (path === null || path === "off") return null;
  if (key === null) values.bad("AUDIT_LOG", "AUDIT_KEY beside it, which seals its lines");
  else if (key.length < minMacKeyCharacters) values.bad("AUDIT_KEY", `${minMacKeyCharacters} characters or more`);
  else if (production && sampleSecrets.some((sample) => key.toLowerCase().includes(sample)))
    values.bad("AUDIT_KEY", "a key of your own: this one is a sample");
  return { path, key: key ?? "" };
}

import type { Setting } from "@trivet/contract";

export type SettingValue = string | number | boolean | readonly string[] | null;
export type ValueOutcome =
  | { readonly type: "value"; readonly value: SettingValue }
  | { readonly type: "bad"; readonly expected: string; readonly position: number | null };

const good = (value: SettingValue): ValueOutcome => ({ type: "value", value });
const bad = (expected: string, position: number | null = null): ValueOutcome => ({ type: "bad", expected, position });

export const roleNames = ["lock", "queue", "cache"] as const;
export type RoleName = (typeof roleNames)[number];
/** Spellings of the roles in the source documents' programs. */
const roleSpellings: ReadonlyMap<string, readonly RoleName[]> = new Map<string, readonly RoleName[]>([
  ["all", roleNames],
  ["lock", ["lock"]],
  ["locks", ["lock"]],
  ["lock_manager", ["lock"]],
  ["lock_node", ["lock"]],
  ["queue", ["queue"]],
  ["queue_node", ["queue"]],
  ["cache", ["cache"]],
  ["cache_node", ["cache"]],
]);

function rangeText(setting: Setting, noun: string): string {
  if (setting.min !== undefined && setting.max !== undefined) return `${noun} from ${setting.min} to ${setting.max}`;
  return noun;
}

function readNumber(setting: Setting, raw: unknown, whole: boolean, noun: string): ValueOutcome {
  const text = typeof raw === "number" ? String(raw) : String(raw).trim();
  const pattern = whole ? /^-?[0-9]+$/ : /^-?[0-9]+(?:\.[0-9]+)?$/;
  const value = Number(text);
  if (!pattern.test(text) || !Number.isFinite(value)) return bad(rangeText(setting, noun));
  if ((setting.min !== undefined && value < setting.min) || (setting.max !== undefined && value > setting.max))
    return bad(rangeText(setting, noun));
  return good(value);
}

function readBoolean(raw: unknown): ValueOutcome {
  if (typeof raw === "boolean") return good(raw);
  const text = String(raw).trim().toLowerCase();
  if (["true", "1", "yes", "on"].includes(text)) return good(true);
  if (["false", "0", "no", "off"].includes(text)) return good(false);
  return bad("true or false");
}

function readChoice(setting: Setting, raw: unknown): ValueOutcome {
  const text = String(raw).trim().toLowerCase();
  const value = setting.synonyms?.[text] ?? text;
  const choices = setting.choices ?? [];
  return choices.includes(value) ? good(value) : bad(`one of ${choices.join(", ")}`);
}

function readRoles(raw: unknown): ValueOutcome {
  const names = Array.isArray(raw)
    ? raw.map(String)
    : String(raw)
        .replaceAll(/["'[\]]/g, "")
        .split(",");
  const roles = new Set<RoleName>();
  for (const name of names) {
    const found = roleSpellings.get(name.trim().toLowerCase().replaceAll("-", "_"));
    if (found === undefined) return bad(`all, or any of ${roleNames.join(", ")}`);
    for (const role of found) roles.add(role);
  }
  return good(roleNames.filter((role) => roles.has(role)));
}

function readUrl(raw: unknown): ValueOutcome {
  const text = String(raw).trim();
  try {
    return good(new URL(text).href.replace(/\/$/, ""));
  } catch {
    return bad("a URL");
  }
}

/** Reads one written value of a setting. Peer lists keep their text: they need the port, which is known later. */
export function readValue(setting: Setting, raw: unknown): ValueOutcome {
  switch (setting.kind) {
    case "integer":
    case "bytes":
      return readNumber(setting, raw, true, "a whole number");
    case "milliseconds":
      return readNumber(setting, raw, true, "milliseconds, a whole number");
    case "seconds":
      return readNumber(setting, raw, false, "seconds, a number");
    case "port":
      return readNumber({ ...setting, min: 0, max: 65_535 }, raw, true, "a port");
    case "boolean":
      return readBoolean(raw);
    case "choice":
      return readChoice(setting, raw);
    case "roles":
      return readRoles(raw);
    case "url":
      return readUrl(raw);
    case "list":
      return good((Array.isArray(raw) ? raw.map(String) : String(raw).split(",")).map((item) => item.trim()).filter((item) => item !== ""));
    case "peers":
      return good(typeof raw === "string" ? raw.trim() : JSON.stringify(raw));
    case "string":
    case "path":
      return typeof raw === "string" || typeof raw === "number" ? good(String(raw).trim()) : bad("text");
  }
}

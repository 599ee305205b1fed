import { settingNames, settingOf } from "@trivet/contract";
import { type ConfigurationGiven, loadConfig } from "../config/index.ts";

const mask = "[redacted]";
/** Shorter ones would take half of every text with them; no secret that is accepted is so short. */
const shortestSecret = 6;

/** What looks like a secret wherever it stands: keys of Trivet, bearer tokens, JWTs, users in URLs, private keys, fields of that name. */
const patterns: readonly (readonly [RegExp, string])[] = [
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g, mask],
  [/\btvt_[a-z2-7]{10}_[A-Za-z0-9_-]+/g, `tvt_${mask}`],
  [/\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}/gi, `$1 ${mask}`],
  [/\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*/g, mask],
  [/([a-z][a-z0-9+.-]*:\/\/)[^\s/@"']*@/gi, `$1${mask}@`],
  [
    /((?:password|passwd|secret|token|api[_-]?key|mac[_-]?key|audit[_-]?key)["']?\s*[:=]\s*)(?:"[^"]*"|'[^']*'|[^\s,;}"']+)/gi,
    `$1"${mask}"`,
  ],
];

/** Takes the secrets out of a text: those this configuration has, and whatever looks like one. */
export type Redact = (text: string) => string;

export function redaction(given: ConfigurationGiven): Redact {
  const secrets = secretsOf(given).sort((a, b) => b.length - a.length);
  return (text) => {
    let redacted = text;
    for (const secret of secrets) {
      redacted = redacted.replaceAll(secret, mask);
      // As it stands in JSON.
      const escaped = JSON.stringify(secret).slice(1, -1);
      if (escaped !== secret) redacted = redacted.replaceAll(escaped, mask);
    }
    for (const [pattern, by] of patterns) redacted = redacted.replace(pattern, by);
    return redacted;
  };
}

function secretsOf(given: ConfigurationGiven): string[] {
  const found = new Set<string>();
  const names = settingNames.filter((name) => settingOf(name).secret === true);
  const aliases = names.flatMap((name) => [name, ...(settingOf(name).aliases ?? []).map((alias) => alias.name)]);
  for (const name of [...aliases, "TRIVET_TOKEN"]) take(found, given.env[name]);
  try {
    const { values } = loadConfig(given).resolved;
    for (const name of names) take(found, values[name] === null ? undefined : String(values[name]));
  } catch {
    // A configuration with faults: those of the environment are known all the same.
  }
  return [...found];
}

function take(found: Set<string>, value: string | undefined): void {
  if (value === undefined) return;
  if (value.length >= shortestSecret) found.add(value);
  if (!URL.canParse(value)) return;
  const { password, username } = new URL(value);
  for (const part of [password, username, decodeURIComponent(password)]) if (part.length >= shortestSecret) found.add(part);
}

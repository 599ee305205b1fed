import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { settingNames, settingOf, type SettingName } from "@trivet/contract";
import { parseStrictJson } from "../json/strict-json.ts";
import { parseDotenv } from "./dotenv.ts";
import { ConfigError } from "./errors.ts";
import { parseFlags } from "./flags.ts";
import { nearestName } from "./nearest.ts";

/** Everything configuration is read from; given by main.ts, so that tests need no process. */
export interface ConfigurationInput {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly hostname: string;
  /** Text of a file, or null when there is none. */
  readonly readFile: (path: string) => string | null;
  /** Names that `.env` may not set (the launcher of three nodes gives every node its own id, port and peers). */
  readonly ignoreInDotenv?: (name: string) => boolean;
}

/** What a program gives that runs a node: flags, folder, host name and files are those of the process unless it says otherwise. */
export type ConfigurationGiven = Pick<ConfigurationInput, "env"> & Partial<Omit<ConfigurationInput, "env">>;

/** Going on without a file that is there could leave open what it locks. */
function readFile(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new ConfigError(78, `${path}: it cannot be read (${code})`, [], "make it a file that the user of this node may read");
  }
}

export function inputOf(given: ConfigurationGiven): ConfigurationInput {
  return { argv: [], cwd: process.cwd(), hostname: hostname(), readFile, ...given };
}

/** One written value. */
export interface Written {
  readonly setting: SettingName;
  /** As written: canonical name, alias, or flag. */
  readonly name: string;
  readonly raw: unknown;
  /** For people: `environment`, `.env line 4`, `flag`. */
  readonly where: string;
}
export interface Source {
  readonly label: string;
  readonly written: readonly Written[];
}
export interface Sources {
  /** Highest precedence first. */
  readonly sources: readonly Source[];
  readonly warnings: readonly string[];
}

/** Canonical and alias names of all settings. */
export const nameTable: ReadonlyMap<string, SettingName> = new Map(
  settingNames.flatMap((name): [string, SettingName][] => [
    [name, name],
    ...(settingOf(name).aliases ?? []).map((alias): [string, SettingName] => [alias.name, name]),
  ]),
);
/** Aliases that a shell or another program exports with a meaning of its own. */
const filesOnly: ReadonlySet<string> = new Set(
  settingNames.flatMap((name) => (settingOf(name).aliases ?? []).filter((alias) => alias.filesOnly === true).map((alias) => alias.name)),
);
/** Names of other programs that look like ours. */
const strangers: ReadonlySet<string> = new Set([
  "NODE_ENV",
  "NODE_PATH",
  "NODE_OPTIONS",
  "NODE_NAME",
  "HOST",
  "HOSTNAME",
  "HOSTTYPE",
  "COMPOSE_PROFILES",
]);

function lookAlike(name: string, where: string): string | null {
  if (strangers.has(name) || !/^[A-Z][A-Z0-9_]+$/.test(name)) return null;
  const nearest = nearestName(name, nameTable.keys());
  return nearest === null ? null : `${name} (${where}) is not a setting; did you mean ${nearest}?`;
}

const environmentLabel = "environment";
const isSet = (raw: unknown): boolean => raw !== undefined && raw !== null && raw !== "";

class Collector {
  readonly sources: Source[] = [];
  readonly warnings: string[] = [];

  add(label: string, entries: Iterable<readonly [string, unknown, string]>): void {
    const written: Written[] = [];
    for (const [name, raw, where] of entries) {
      if (label === environmentLabel && filesOnly.has(name)) continue;
      const setting = nameTable.get(name);
      if (setting !== undefined) {
        // An empty variable is how Compose passes one that is not set.
        if (isSet(raw)) written.push({ setting, name, raw, where });
        continue;
      }
      const warning = lookAlike(name, where);
      if (warning !== null) this.warnings.push(warning);
    }
    this.sources.push({ label, written });
  }
}

const resolvePath = (cwd: string, path: string): string => (path.startsWith("/") || /^[A-Za-z]:[\\/]/.test(path) ? path : `${cwd}/${path}`);

function addDotenv(collector: Collector, label: string, content: string, ignore: (name: string) => boolean): void {
  const file = parseDotenv(content);
  for (const { line, name } of file.faults) {
    // Nothing of the line but a name of ours: it may be half of a key, or a key under another name.
    const about = name !== null && nameTable.has(name) ? `; it seems to be about ${name}` : "";
    collector.warnings.push(`${label} line ${line} is not NAME=VALUE and is left out${about}`);
  }
  const kept = [...file.entries].filter(([name]) => !ignore(name));
  collector.add(
    label,
    kept.map(([name, entry]) => [name, entry.value, `${label} line ${entry.line}`] as const),
  );
}

function addConfigFile(collector: Collector, path: string, content: string): void {
  const outcome = parseStrictJson(content, 8);
  if (outcome.type === "fault") {
    const { fault } = outcome;
    throw new ConfigError(
      78,
      `${path}: not valid JSON at position ${fault.position + 1} (line ${fault.line}, column ${fault.column}): ${fault.message}; for example {"NODE_ID": "node1"}`,
    );
  }
  const { value } = outcome;
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ConfigError(78, `${path}: expected an object; for example {"NODE_ID": "node1"}`);
  const entries = Object.entries(value).map(([name, raw]): readonly [string, unknown, string] => [name, raw, path]);
  for (const [name] of entries) {
    if (nameTable.has(name) || name.startsWith("$")) continue;
    const nearest = nearestName(name, nameTable.keys());
    if (nearest === null) collector.warnings.push(`${name} (${path}) is not a setting`);
  }
  collector.add(path, entries);
}

/** Reads every source: flags > environment > --env-file > .env > trivet.config.json. Throws ConfigError. */
export function collectSources(input: ConfigurationInput): Sources {
  const flags = parseFlags(input.argv);
  const collector = new Collector();
  collector.sources.push({
    label: "flag",
    written: [...flags.values].flatMap(([setting, list]) =>
      list.map(({ flag, value }): Written => ({ setting, name: flag, raw: value, where: "flag" })),
    ),
  });
  collector.add(
    environmentLabel,
    Object.entries(input.env).map(([name, raw]) => [name, raw, environmentLabel] as const),
  );
  for (const path of flags.envFiles.toReversed()) {
    const content = input.readFile(resolvePath(input.cwd, path));
    if (content === null) throw new ConfigError(78, `--env-file ${path}: no such file`);
    addDotenv(collector, path, content, () => false);
  }
  const dotenv = input.readFile(`${input.cwd}/.env`);
  if (dotenv !== null) addDotenv(collector, ".env", dotenv, input.ignoreInDotenv ?? (() => false));
  const configPath = flags.configFile ?? "trivet.config.json";
  const config = input.readFile(resolvePath(input.cwd, configPath));
  if (config !== null) addConfigFile(collector, configPath, config);
  else if (flags.configFile !== null) throw new ConfigError(78, `--config ${configPath}: no such file`);
  return { sources: collector.sources, warnings: collector.warnings };
}

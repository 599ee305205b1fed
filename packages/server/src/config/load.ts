import { settingNames, settingOf, type SettingName } from "@trivet/contract";
import { buildConfig, isLoopback, type NodeConfig } from "./config.ts";
import { ConfigError } from "./errors.ts";
import { resolveSettings, showValue, type Origin, type Resolved } from "./resolve.ts";
import { collectSources, inputOf, type ConfigurationGiven } from "./sources.ts";

export interface LoadedConfig {
  readonly config: NodeConfig;
  readonly resolved: Resolved;
  /** Look-alike names and lines left out; for the log. */
  readonly warnings: readonly string[];
}

function attempt(given: ConfigurationGiven): LoadedConfig & { readonly faults: readonly { setting: SettingName; line: string }[] } {
  const input = inputOf(given);
  const sources = collectSources(input);
  const resolved = resolveSettings(sources);
  const { config, faults } = buildConfig(resolved, input.hostname);
  const warnings = [...sources.warnings, ...resolved.warnings];
  if (config.http.port !== 0 && config.peers.length > 0 && config.peers.length < 3 && config.self !== null) {
    warnings.push(`${config.peers.length} nodes tolerate no failure; three tolerate one`);
  }
  const outside = config.peers.filter((peer) => peer !== config.self && !isLoopback(peer.host));
  const [first] = outside;
  if (first !== undefined && config.macKey === null && config.cluster === null && config.tls === null) {
    warnings.push(
      `peers such as ${first.url} are not on this machine, and without TLS, SHARED_MAC_KEY or CLUSTER_PORT only peers of this machine are accepted`,
    );
  }
  return { config, resolved, warnings, faults: [...resolved.faults, ...faults] };
}

/** Reads and checks the whole configuration. Throws ConfigError: exit 78 for a bad value, 64 for an unknown role or flag. */
export function loadConfig(input: ConfigurationGiven): LoadedConfig {
  const { faults, ...loaded } = attempt(input);
  const [first, ...others] = faults;
  if (first !== undefined) {
    // An unknown role is wrong usage of the command line in S1's sense (T-13).
    throw new ConfigError(
      first.setting === "NODE_ROLES" ? 64 : 78,
      first.line,
      others.map((fault) => fault.line),
    );
  }
  return loaded;
}

export interface ConfigRow {
  readonly name: SettingName;
  /** As text; secrets are masked. */
  readonly value: string | null;
  readonly source: string;
  /** The name that was written, when it is not the canonical one. */
  readonly writtenAs: string | null;
  readonly about: string;
  readonly use: string;
}
export interface ConfigReport {
  readonly ok: boolean;
  readonly rows: readonly ConfigRow[];
  readonly faults: readonly string[];
  readonly warnings: readonly string[];
}

const row = (name: SettingName, resolved: Resolved): ConfigRow => {
  const setting = settingOf(name);
  const value = resolved.values[name];
  const origin: Origin = resolved.origins[name];
  return {
    name,
    value: value === null ? null : showValue(setting, Array.isArray(value) ? value.join(",") : String(value)),
    source: origin.source === "default" ? "default" : origin.where,
    writtenAs: origin.name === name ? null : origin.name,
    about: setting.about,
    use: setting.use,
  };
};

/** For `trivet config print` and `trivet config check`: every value with its source, and every fault. Never throws. */
export function reportConfig(input: ConfigurationGiven): ConfigReport {
  try {
    const { resolved, warnings, faults } = attempt(input);
    return {
      ok: faults.length === 0,
      rows: settingNames.map((name) => row(name, resolved)),
      faults: faults.map((fault) => fault.line),
      warnings,
    };
  } catch (error) {
    if (error instanceof ConfigError) return { ok: false, rows: [], faults: error.faults, warnings: [] };
    throw error;
  }
}

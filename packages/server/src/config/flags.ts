import { settingNames, settingOf, type SettingName } from "@trivet/contract";
import { ConfigError } from "./errors.ts";
import { nearestName } from "./nearest.ts";

export interface Flags {
  readonly values: ReadonlyMap<SettingName, readonly { readonly flag: string; readonly value: string }[]>;
  readonly envFiles: readonly string[];
  readonly configFile: string | null;
}

const kebab = (name: string): string => name.toLowerCase().replaceAll("_", "-");

/** Flag name (without dashes) to setting. Secrets have no flag: a flag is visible in the process list. */
export const flagTable: ReadonlyMap<string, SettingName> = new Map(
  settingNames.flatMap((name): [string, SettingName][] => {
    const setting = settingOf(name);
    return setting.secret === true ? [] : [kebab(name), ...(setting.flags ?? [])].map((flag) => [flag, name]);
  }),
);
const secretFlags: ReadonlyMap<string, SettingName> = new Map(
  settingNames.filter((name) => settingOf(name).secret === true).map((name) => [kebab(name), name]),
);

function unknownFlag(flag: string): ConfigError {
  const secret = secretFlags.get(flag);
  if (secret !== undefined)
    return new ConfigError(64, `--${flag}: a secret is never a flag; set ${secret} in the environment or in --env-file`);
  const nearest = nearestName(flag, [...flagTable.keys(), "env-file", "config"]);
  return new ConfigError(
    64,
    `--${flag} is not known${nearest === null ? "" : ` (did you mean --${nearest}?)`}; \`trivet serve --help\` lists the flags`,
  );
}

/** Reads `--name value`, `--name=value`, `--switch` and `--no-switch`. Throws ConfigError with exit code 64. */
export function parseFlags(argv: readonly string[]): Flags {
  const values = new Map<SettingName, { flag: string; value: string }[]>();
  const envFiles: string[] = [];
  let configFile: string | null = null;
  let index = 0;
  const next = (flag: string): string => {
    const value = argv[index];
    if (value === undefined) throw new ConfigError(64, `--${flag} needs a value`);
    index++;
    return value;
  };
  while (index < argv.length) {
    const word = argv[index++] ?? "";
    const match = /^--([^=]+)(?:=(.*))?$/s.exec(word);
    if (match === null) throw new ConfigError(64, `"${word}" is not a flag; \`trivet serve --help\` lists the flags`);
    const flag = match[1] ?? "";
    const attached = match[2];
    if (flag === "env-file") {
      envFiles.push(attached ?? next(flag));
      continue;
    }
    if (flag === "config") {
      configFile = attached ?? next(flag);
      continue;
    }
    const negated = flag.startsWith("no-") && !flagTable.has(flag);
    const name = flagTable.get(negated ? flag.slice(3) : flag);
    if (name === undefined) throw unknownFlag(flag);
    const isSwitch = settingOf(name).kind === "boolean";
    if (negated && !isSwitch) throw unknownFlag(flag);
    let value: string;
    if (isSwitch) {
      const following = argv[index];
      if (attached === undefined && !negated && (following === "true" || following === "false")) index++;
      value = negated ? "false" : (attached ?? (following === "false" ? "false" : "true"));
    } else {
      value = attached ?? next(flag);
    }
    values.set(name, [...(values.get(name) ?? []), { flag: `--${flag}`, value }]);
  }
  return { values, envFiles, configFile };
}

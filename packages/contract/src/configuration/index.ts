import { Type, type TSchema } from "typebox";
import { cacheSettings } from "./cache.ts";
import type { Setting } from "./definition.ts";
import { nodeSettings } from "./node.ts";
import { securitySettings } from "./security.ts";
import { serviceSettings } from "./services.ts";

export type * from "./definition.ts";

/** Every setting by its canonical name. */
export const settings = { ...nodeSettings, ...securitySettings, ...serviceSettings, ...cacheSettings } as const;
export type SettingName = keyof typeof settings;
export const settingNames = Object.keys(settings) as SettingName[];
export function settingOf(name: SettingName): Setting {
  return settings[name];
}

/** Keys that appear in a source document or sample file; refused when TRIVET_ENV is production. */
export const sampleSecrets: readonly string[] = [
  "mypassword",
  "changeme",
  "secret",
  "password",
  "supersecretkey",
  "your-secret-key",
  "change-me-in-production",
  "default_secret_key",
];
export const minMacKeyCharacters = 16;

const range = (setting: Setting): { minimum?: number; maximum?: number } => ({
  ...(setting.min === undefined ? {} : { minimum: setting.min }),
  ...(setting.max === undefined ? {} : { maximum: setting.max }),
});

function valueSchema(setting: Setting): TSchema {
  switch (setting.kind) {
    case "integer":
    case "milliseconds":
    case "bytes":
      return Type.Integer(range(setting));
    case "seconds":
      return Type.Number(range(setting));
    case "port":
      return Type.Integer({ minimum: 0, maximum: 65_535 });
    case "boolean":
      return Type.Boolean();
    case "choice":
      return Type.Enum([...(setting.choices ?? [])]);
    case "peers":
      return Type.Union([Type.String(), Type.Array(Type.String()), Type.Record(Type.String(), Type.String())]);
    case "roles":
    case "list":
      return Type.Union([Type.String(), Type.Array(Type.String())]);
    case "string":
    case "url":
    case "path":
      return Type.String();
  }
}

/** Schema of trivet.config.json: canonical names, every one optional. */
export const ConfigurationFile = Type.Object(
  Object.fromEntries(
    settingNames.map((name) => {
      const setting = settingOf(name);
      const described = { description: setting.about, ...(setting.default === null ? {} : { default: setting.default }) };
      return [name, Type.Optional(Type.Intersect([valueSchema(setting)], described))];
    }),
  ),
  { additionalProperties: false },
);

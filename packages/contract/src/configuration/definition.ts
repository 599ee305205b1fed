/**
 * The configuration: every setting, its other names in the five source documents, default, range and example. The parser in the
 * server, `trivet config print|check`, docs/configuration.md and the sample files are built from this table.
 */
export type SettingKind =
  | "string"
  | "integer"
  | "port"
  | "milliseconds"
  | "seconds"
  | "bytes"
  | "boolean"
  | "choice"
  | "roles"
  | "peers"
  | "url"
  | "path"
  | "list";
/** Which part reads it. `later`: accepted and checked, its part of the system comes with a later version. `none`: accepted, does nothing. */
export type SettingUse =
  | "node"
  | "raft"
  | "storage"
  | "locks"
  | "queues"
  | "cache"
  | "http"
  | "peers"
  | "security"
  | "operations"
  | "later"
  | "none";

export interface SettingAlias {
  readonly name: string;
  /** Source document that names it; `kin`: programs of this kind do, those behind the documents among them (decisions/0016). */
  readonly source: "S0" | "S1" | "S2" | "S3" | "S4" | "kin";
  /**
   * The alias counts seconds, the setting milliseconds. `either`: programs disagree, so below 20 it is seconds, else milliseconds, and a warning
   * says what was understood.
   */
  readonly unit?: "seconds" | "either";
  /** What the alias holds where that is not what the setting holds: a host name of an address, a file of its folder. */
  readonly holds?: "host" | "file";
  /** Other programs and shells export a variable of this name and mean something else by it: it counts in files only. */
  readonly filesOnly?: true;
  /** Spelling of the alias to spelling of the setting. */
  readonly values?: Readonly<Record<string, string>>;
}
export interface Setting {
  readonly kind: SettingKind;
  readonly default: string | number | boolean | null;
  readonly use: SettingUse;
  readonly about: string;
  readonly example: string;
  readonly aliases?: readonly SettingAlias[];
  /** Flags besides `--<name-in-kebab-case>`. */
  readonly flags?: readonly string[];
  readonly secret?: boolean;
  readonly min?: number;
  readonly max?: number;
  readonly choices?: readonly string[];
  /** Other spellings of choices, lower case. */
  readonly synonyms?: Readonly<Record<string, string>>;
}
/** Keeps the literal types of a table of settings while checking its shape. */
export const define = <const S extends Record<string, Setting>>(table: S): S => table;

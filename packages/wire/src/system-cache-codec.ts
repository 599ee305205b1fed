import type { ByteReader, ByteWriter } from "./bytes.ts";
import { cacheModes, type NamespaceSettings, originNames, originWrites, policyNames } from "./cache-commands.ts";
import { CodecError } from "./codec-error.ts";
import { type DefineMode, type DefineNamespace, type DeleteNamespace, defineModes } from "./commands.ts";
import { decodeIdentity, decodeIndexed, decodeName } from "./fields.ts";
import { limits } from "./limits.ts";
import { type DefinedNamespace, type NamespaceRefused, namespaceRefusalReasons } from "./results.ts";
import { clipText } from "./text.ts";

/** The numbers of a namespace's settings, by their bits in the mask of those present. Append only; the names have bits of their own. */
const settingBits = {
  staleMs: 1,
  ttlMs: 2,
  negativeTtlMs: 4,
  maxEntries: 8,
  maxBytes: 16,
  copyEntries: 32,
  copyBytes: 64,
  maxBehind: 1024,
  revalidateMs: 4096,
  compressOver: 8192,
} as const satisfies Record<Exclude<keyof NamespaceSettings, "mode" | "origin" | "policy" | "write">, number>;
const numberSettings = Object.entries(settingBits) as readonly (readonly [keyof typeof settingBits, number])[];
const modeBit = 128;
const policyBit = 256;
const originBit = 512;
const writeBit = 2048;
const allBits = 16_383;

const modeNumbers = Object.fromEntries(defineModes.map((mode, number) => [mode, number])) as Readonly<Record<DefineMode, number>>;

export function encodeDefineNamespace(writer: ByteWriter, { name, mode, settings, principal }: DefineNamespace): void {
  writer.string(name);
  writer.u8(modeNumbers[mode]);
  encodeSettings(writer, settings);
  writer.string(principal);
}

/** Whether the values make a namespace is for apply to say: it answers with what is wrong. */
export function decodeDefineNamespace(reader: ByteReader): DefineNamespace {
  const name = decodeName(reader);
  const mode = decodeIndexed(reader, defineModes, "mode of a definition");
  return { type: "define-namespace", name, mode, settings: decodeSettings(reader), principal: decodeIdentity(reader) };
}

export function encodeDeleteNamespace(writer: ByteWriter, { name, principal }: DeleteNamespace): void {
  writer.string(name);
  writer.string(principal);
}

export function decodeDeleteNamespace(reader: ByteReader): DeleteNamespace {
  return { type: "delete-namespace", name: decodeName(reader), principal: decodeIdentity(reader) };
}

/** Only those that are there. */
function encodeSettings(writer: ByteWriter, settings: Partial<NamespaceSettings>): void {
  const { mode, origin, policy, write } = settings;
  writer.varint(maskOf(settings));
  for (const [setting] of numberSettings) {
    const value = settings[setting];
    if (value !== undefined) writer.varint(value);
  }
  if (mode !== undefined) writer.u8(cacheModes.indexOf(mode));
  if (policy !== undefined) writer.u8(policyNames.indexOf(policy));
  if (origin !== undefined) writer.u8(originNames.indexOf(origin));
  if (write !== undefined) writer.u8(originWrites.indexOf(write));
}

/** The bits of the settings that are there. */
function maskOf(settings: Partial<NamespaceSettings>): number {
  const { mode, origin, policy, write } = settings;
  let mask = (mode === undefined ? 0 : modeBit) | (policy === undefined ? 0 : policyBit) | (origin === undefined ? 0 : originBit);
  if (write !== undefined) mask |= writeBit;
  for (const [setting, bit] of numberSettings) if (settings[setting] !== undefined) mask |= bit;
  return mask;
}

function decodeSettings(reader: ByteReader): Partial<NamespaceSettings> {
  const mask = reader.varint(allBits);
  const settings: { -readonly [Setting in keyof NamespaceSettings]?: NamespaceSettings[Setting] } = {};
  for (const [setting, bit] of numberSettings) if ((mask & bit) !== 0) settings[setting] = reader.varint();
  if ((mask & modeBit) !== 0) settings.mode = decodeIndexed(reader, cacheModes, "cache mode");
  if ((mask & policyBit) !== 0) settings.policy = decodeIndexed(reader, policyNames, "eviction policy");
  if ((mask & originBit) !== 0) settings.origin = decodeIndexed(reader, originNames, "origin");
  if ((mask & writeBit) !== 0) settings.write = decodeIndexed(reader, originWrites, "way of writing");
  return settings;
}

/** Also the record of a namespace in a snapshot. */
export function encodeDefinedNamespace(writer: ByteWriter, view: DefinedNamespace): void {
  writer.varint(view.namespace);
  writer.string(view.name);
  writer.varint(view.version);
  encodeSettings(writer, storedSettings(view.settings));
  writer.varint(view.createdAt);
}

/** As before there were origins, where there is none, and as before anything was written to them, where nothing is. */
function storedSettings({
  compressOver,
  maxBehind,
  origin,
  revalidateMs,
  write,
  ...others
}: NamespaceSettings): Partial<NamespaceSettings> {
  const behind = write === "here" && maxBehind === 0 ? {} : { maxBehind, write };
  const revalidated = revalidateMs === 0 ? {} : { revalidateMs };
  const compressed = compressOver === 0 ? {} : { compressOver };
  return { ...others, ...behind, ...revalidated, ...compressed, ...(origin === "none" ? {} : { origin }) };
}

export function decodeDefinedNamespace(reader: ByteReader): DefinedNamespace {
  const [namespace, name, version] = [reader.varint(), decodeName(reader), reader.varint()];
  const present = decodeSettings(reader);
  const settings = wholeSettings(present);
  // One encoding of each: a setting left out is the default, and the default is left out.
  if (maskOf(present) !== maskOf(storedSettings(settings))) throw new CodecError("a namespace whose settings are not as they are stored");
  return { namespace, name, version, settings, createdAt: reader.varint() };
}

/** In the order of their declaration. */
function wholeSettings({ mode, origin = "none", policy, write = "here", ...numbers }: Partial<NamespaceSettings>): NamespaceSettings {
  const { copyBytes = 0, copyEntries = 0, maxBehind = 0, maxBytes = 0, maxEntries = 0 } = numbers;
  const { compressOver = 0, negativeTtlMs = 0, revalidateMs = 0, staleMs = 0, ttlMs = 0 } = numbers;
  if (mode === undefined || policy === undefined) throw new CodecError("a namespace without all its settings");
  const stored = { mode, staleMs, ttlMs, negativeTtlMs, maxEntries, maxBytes, write, maxBehind, revalidateMs };
  return { ...stored, copyEntries, copyBytes, policy, origin, compressOver };
}

export function encodeNamespaceRefused(writer: ByteWriter, refused: NamespaceRefused): void {
  writer.u8(namespaceRefusalReasons.indexOf(refused.reason));
  switch (refused.reason) {
    case "exists":
      return encodeDefinedNamespace(writer, refused);
    case "unknown":
    case "standing":
      return;
    case "fixed":
      writer.u8(cacheModes.indexOf(refused.value));
      return writer.u8(cacheModes.indexOf(refused.asked));
    case "too-many":
      return writer.varint(refused.max);
    case "invalid":
      return writer.string(clipText(refused.detail, limits.maxDetailBytes));
  }
}

export function decodeNamespaceRefused(reader: ByteReader): NamespaceRefused {
  const type = "namespace-refused";
  const reason = decodeIndexed(reader, namespaceRefusalReasons, "reason to refuse a namespace");
  switch (reason) {
    case "exists":
      return { type, reason, ...decodeDefinedNamespace(reader) };
    case "unknown":
    case "standing":
      return { type, reason };
    case "fixed":
      return {
        type,
        reason,
        field: "mode",
        value: decodeIndexed(reader, cacheModes, "cache mode"),
        asked: decodeIndexed(reader, cacheModes, "cache mode"),
      };
    case "too-many":
      return { type, reason, max: reader.varint() };
    case "invalid":
      return { type, reason, detail: reader.string(limits.maxDetailBytes) };
  }
}

export interface DotenvEntry {
  readonly value: string;
  readonly line: number;
}
export interface DotenvFile {
  readonly entries: ReadonlyMap<string, DotenvEntry>;
  /** Lines that are neither empty, a comment, nor NAME=VALUE; of their text only the first word, where it looks like a name. The rest may be a secret. */
  readonly faults: readonly { readonly line: number; readonly name: string | null }[];
}

const assignment = /^\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.]*)\s*=(.*)$/;
const escapes: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", '"': '"', "\\": "\\" };

/** A value as written after `=`: quotes taken off, comments cut. JSON needs no quotes. */
function readValue(written: string): string {
  const text = written.trim();
  if (text.startsWith('"')) {
    const end = /^"((?:[^"\\]|\\.)*)"\s*(?:#.*)?$/.exec(text);
    if (end !== null) return (end[1] ?? "").replaceAll(/\\(.)/g, (whole, letter: string) => escapes[letter] ?? whole);
  }
  if (text.startsWith("'")) {
    const end = /^'([^']*)'\s*(?:#.*)?$/.exec(text);
    if (end !== null) return end[1] ?? "";
  }
  // JSON may hold " #" inside its strings, so a comment is cut from other values only (T-18).
  if (text.startsWith("{") || text.startsWith("[")) return text;
  return text.replace(/(?:^|\s)#.*$/, "").trim();
}

/** Parses a dotenv file. The last assignment of a name counts. */
export function parseDotenv(content: string): DotenvFile {
  const entries = new Map<string, DotenvEntry>();
  const faults: { line: number; name: string | null }[] = [];
  const lines = content.replace(/^\uFEFF/, "").split(/\r?\n/);
  for (const [index, text] of lines.entries()) {
    const trimmed = text.trim();
    if (trimmed === "" || trimmed.startsWith("#")) continue;
    const match = assignment.exec(text);
    if (match === null) faults.push({ line: index + 1, name: /^(?:export\s+)?([A-Z][A-Z0-9_]*)(?=[\s:]|$)/.exec(trimmed)?.[1] ?? null });
    else entries.set(match[1] ?? "", { value: readValue(match[2] ?? ""), line: index + 1 });
  }
  return { entries, faults };
}

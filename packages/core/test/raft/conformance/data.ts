import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** etcd-io/raft's test data, beside the repository when present. Skipped loudly when not: the suites report it as skipped. */
const root = fileURLToPath(new URL("../../../../../../shared/conformance/etcd-raft/", import.meta.url));

export const conformanceDataPresent: boolean = existsSync(root);

export interface Directive {
  readonly file: string;
  readonly line: number;
  /** The command line. */
  readonly command: string;
  /** Lines between it and the separator. */
  readonly input: readonly string[];
  readonly expected: readonly string[];
}

export function filesOf(folder: string): string[] {
  return conformanceDataPresent
    ? readdirSync(`${root}${folder}`)
        .filter((name) => name.endsWith(".txt"))
        .sort()
    : [];
}

function isComment(text: string): boolean {
  return text.startsWith("#");
}

/** Splits a datadriven file: comments, one command line, its input, `----`, the expected lines until a blank one. */
export function directivesOf(folder: string, file: string): Directive[] {
  const lines = readFileSync(`${root}${folder}/${file}`, "utf8").split("\n");
  const directives: Directive[] = [];
  let at = 0;
  while (at < lines.length) {
    const command = lines[at] ?? "";
    if (command.trim() === "" || isComment(command)) {
      at++;
      continue;
    }
    const line = at + 1;
    const input: string[] = [];
    for (at++; at < lines.length && lines[at] !== "----"; at++) if (!isComment(lines[at] ?? "")) input.push(lines[at] ?? "");
    const expected: string[] = [];
    for (at++; at < lines.length && (lines[at] ?? "") !== ""; at++) expected.push(lines[at] ?? "");
    directives.push({ file, line, command: command.trim(), input, expected });
  }
  return directives;
}

/** `key=value` and `key=(a,b)` of a command line, and its bare words. */
export function argumentsOf(command: string): { readonly words: string[]; readonly named: Map<string, string[]> } {
  const named = new Map<string, string[]>();
  const rest = command.replace(/([\w-]+)=(\([^)]*\)|\S+)/g, (_, key: string, value: string) => {
    named.set(
      key,
      value
        .replace(/[()]/g, "")
        .split(",")
        .map((item) => item.trim())
        .filter((item) => item !== ""),
    );
    return "";
  });
  return { words: rest.split(/\s+/).filter((word) => word !== ""), named };
}

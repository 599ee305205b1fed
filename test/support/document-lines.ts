import { readFileSync } from "node:fs";
import { join } from "node:path";
import { repository } from "./processes.ts";

/** A command line of a document, with the place it stands at. */
export interface DocumentLine {
  readonly place: string;
  readonly command: string;
}

/** The commands of the Bash blocks of a document, in their order; continued lines and here-documents are one command. */
export function bashLinesOf(path: string, text: string = readFileSync(join(repository, path), "utf8")): readonly DocumentLine[] {
  const found: DocumentLine[] = [];
  const lines = text.split("\n");
  let inside = false;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? "";
    if (/^\s*```/.test(line)) {
      inside = !inside && /^\s*```bash\s*$/.test(line);
      continue;
    }
    if (!inside || line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const begun = at + 1;
    let command = line.trim();
    while (command.endsWith("\\")) command = `${command}\n${lines[++at] ?? ""}`;
    const mark = /<<'?([A-Z]+)'?/.exec(command)?.[1];
    // A here-document ends with its mark on a line of its own.
    if (mark !== undefined) {
      const last = lines.indexOf(mark, at);
      command = [command, ...lines.slice(at + 1, last + 1)].join("\n");
      at = last;
    }
    found.push({ place: `${path}:${begun}`, command: withoutRemark(command) });
  }
  return found;
}

/** A remark behind a command is for the reader; `#` inside quotes is not one. */
function withoutRemark(command: string): string {
  return /<</.test(command) ? command : command.replace(/^((?:[^'"#]|"[^"]*"|'[^']*')*?)\s+#\s.*$/s, "$1").trimEnd();
}

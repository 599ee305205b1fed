/** An anchor that a node printed to its ordinary log. */
export interface Anchor {
  readonly seq: number;
  readonly mac: string;
  /** Null = printed by a version that had no names for chains. */
  readonly chain: string | null;
}

const said = "audit log anchor ([0-9]{1,15}):([0-9a-f]{64})(?: of chain ([0-9a-f]{1,64}))?";
/** What was written before each line by whoever collected it: `node1  | ` of Compose, `Jan 01 00:00:00 host trivet[7]: ` of a journal. */
const collected = String.raw`(?:[^[{]*\[[0-9]+\]: |[^[{|]*\| )?`;
/**
 * A line for people: time, level, node, text, event, fields. Other texts quote names that callers chose (a lock may be called `audit log anchor 7:…`), so it
 * counts only as the whole text, straight behind the node's name, of a line of this event.
 */
const textLine = new RegExp(String.raw`^${collected}[^[{|]*\[[^\]]*\] ${said} event=audit\.anchor(?: |$)`);
/** `--timestamps` of those who collect. A line for people has its level behind the time, never a brace. */
const stamped = String.raw`(?:\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|[+-]\d\d:\d\d) )?`;
const jsonLine = new RegExp(`^${collected}${stamped}(\\{.*\\})$`);
const message = new RegExp(`^${said}$`);

/** In the lines of a log, whether for people or JSON. */
export const anchorsIn = (text: string): readonly Anchor[] => text.split(/\r?\n/).flatMap((line) => anchorIn(line.trimEnd()));

function anchorIn(line: string): readonly Anchor[] {
  const json = jsonLine.exec(line)?.[1];
  const match = json === undefined ? textLine.exec(line) : message.exec(messageIn(json));
  if (match === null) return [];
  const [, seq, mac = "", chain = null] = match;
  return [{ seq: Number(seq), mac, chain }];
}

/** "" = it is no line of this event. */
function messageIn(json: string): string {
  let line: unknown;
  try {
    line = JSON.parse(json);
  } catch {
    return "";
  }
  const { event, message: told } = (line ?? {}) as { readonly event?: unknown; readonly message?: unknown };
  return event === "audit.anchor" && typeof told === "string" ? told : "";
}

/** What names a command for later questions (rule X3): the group that executes it, the caller's identity of it, and its deadline. */
export interface RequestKey {
  readonly group: number;
  readonly caller: string;
  readonly sequence: number;
  /** Group time after which it is certain that a command nobody saw was never executed. */
  readonly notAfter: number;
}

/** The request id that people and programs see, e.g. in an error whose outcome is unknown. */
export function formatRequestId(key: RequestKey): string {
  return `${key.group}.${key.sequence.toString(36)}.${key.notAfter.toString(36)}.${key.caller}`;
}

/** Null when `text` is not a request id. */
export function parseRequestId(text: string): RequestKey | null {
  const match = /^(\d{1,4})\.([0-9a-z]{1,11})\.([0-9a-z]{1,11})\.(.{1,64})$/su.exec(text);
  if (match === null) return null;
  const [, group = "", sequence = "", notAfter = "", caller = ""] = match;
  const key = { group: Number(group), sequence: Number.parseInt(sequence, 36), notAfter: Number.parseInt(notAfter, 36), caller };
  return Number.isSafeInteger(key.sequence) && Number.isSafeInteger(key.notAfter) ? key : null;
}

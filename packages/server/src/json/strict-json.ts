/**
 * A validating pass over JSON text before `JSON.parse`: says where the first fault is (JSON.parse does not always), bounds the
 * nesting before anything recurses, and refuses what JSON.parse silently accepts: duplicate keys and `__proto__`.
 */
export interface JsonFault {
  readonly kind: "syntax" | "depth" | "duplicate" | "forbidden";
  /** 0-based offset in the text. */
  readonly position: number;
  readonly line: number;
  readonly column: number;
  /** Expectation in words, for example `expected ':' after the key`. */
  readonly message: string;
  /** The key in question for `duplicate` and `forbidden`. */
  readonly field: string | null;
}
export type JsonOutcome = { readonly type: "value"; readonly value: unknown } | { readonly type: "fault"; readonly fault: JsonFault };

const forbiddenKeys: ReadonlySet<string> = new Set(["__proto__"]);
const literals = ["true", "false", "null"] as const;

class Inspector {
  readonly #text: string;
  readonly #maxDepth: number;
  #at = 0;
  fault: JsonFault | null = null;

  constructor(text: string, maxDepth: number) {
    this.#text = text;
    this.#maxDepth = maxDepth;
  }

  document(): void {
    if (!this.#value(0)) return;
    this.#space();
    if (this.#at < this.#text.length) this.#fail("expected the end of the text");
  }

  #fail(message: string, kind: JsonFault["kind"] = "syntax", position: number = this.#at, field: string | null = null): false {
    const before = this.#text.slice(0, position);
    const lastBreak = before.lastIndexOf("\n");
    this.fault ??= { kind, position, line: before.split("\n").length, column: position - lastBreak, message, field };
    return false;
  }

  #space(): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.#at++;
    }
  }

  #value(depth: number): boolean {
    this.#space();
    const character = this.#text[this.#at];
    if (character === undefined) return this.#fail("the text ends where a value is expected");
    if (character === "{" || character === "[") {
      if (depth >= this.#maxDepth) return this.#fail(`nested deeper than ${this.#maxDepth} levels`, "depth");
      return character === "{" ? this.#object(depth + 1) : this.#array(depth + 1);
    }
    if (character === '"') return this.#string();
    for (const literal of literals) {
      if (this.#text.startsWith(literal, this.#at)) {
        this.#at += literal.length;
        return true;
      }
    }
    return this.#number();
  }

  #number(): boolean {
    const pattern = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return this.#fail("expected a value");
    this.#at += match[0].length;
    return true;
  }

  #string(): boolean {
    const start = this.#at++;
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (Number.isNaN(code)) return this.#fail("the string that begins here does not end", "syntax", start);
      if (code < 0x20) return this.#fail("a control character in a string must be escaped");
      this.#at++;
      if (code === 0x22) return true;
      if (code === 0x5c && !this.#escape()) return false;
    }
  }

  #escape(): boolean {
    const pattern = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y;
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return this.#fail("not a valid escape in a string");
    this.#at += match[0].length;
    return true;
  }

  #array(depth: number): boolean {
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === "]") {
      this.#at++;
      return true;
    }
    for (;;) {
      if (!this.#value(depth)) return false;
      this.#space();
      const character = this.#text[this.#at];
      if (character !== "," && character !== "]") return this.#fail("expected ',' or ']'");
      this.#at++;
      if (character === "]") return true;
    }
  }

  #object(depth: number): boolean {
    this.#at++;
    this.#space();
    if (this.#text[this.#at] === "}") {
      this.#at++;
      return true;
    }
    const keys = new Set<string>();
    for (;;) {
      if (!this.#key(keys)) return false;
      this.#space();
      if (this.#text[this.#at] !== ":") return this.#fail("expected ':' after the key");
      this.#at++;
      if (!this.#value(depth)) return false;
      this.#space();
      const character = this.#text[this.#at];
      if (character !== "," && character !== "}") return this.#fail("expected ',' or '}'");
      this.#at++;
      if (character === "}") return true;
    }
  }

  #key(keys: Set<string>): boolean {
    this.#space();
    const start = this.#at;
    if (this.#text[start] !== '"') return this.#fail("expected a key in double quotes");
    if (!this.#string()) return false;
    const raw = this.#text.slice(start + 1, this.#at - 1);
    const key = raw.includes("\\") ? String(JSON.parse(`"${raw}"`)) : raw;
    if (forbiddenKeys.has(key)) return this.#fail(`the key ${key} is not allowed`, "forbidden", start, key);
    if (keys.has(key)) return this.#fail(`the key ${JSON.stringify(key)} appears twice`, "duplicate", start, key);
    keys.add(key);
    return true;
  }
}

/** The first fault of a JSON text, or null when it is sound. */
export function inspectJson(text: string, maxDepth: number): JsonFault | null {
  const inspector = new Inspector(text, maxDepth);
  inspector.document();
  return inspector.fault;
}

/** Parses JSON strictly; never throws. */
export function parseStrictJson(text: string, maxDepth: number): JsonOutcome {
  const fault = inspectJson(text, maxDepth);
  return fault === null ? { type: "value", value: JSON.parse(text) as unknown } : { type: "fault", fault };
}

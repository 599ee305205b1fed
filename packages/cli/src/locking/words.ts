import type { Command } from "commander";

/** What `trivet lock NAMES -- COMMAND` names and runs. */
export interface NamesAndCommand {
  readonly names: readonly string[];
  readonly command: readonly string[];
}

/** Of all command lines this one alone has its verb in the middle: `trivet lock NAME -- COMMAND` is short for `trivet lock run NAME -- COMMAND`. */
export function withVerb(argv: readonly string[], program: Command): readonly string[] {
  const lock = program.commands.find((command) => command.name() === "lock");
  const run = lock?.commands.find((command) => command.name() === "run");
  if (lock === undefined || run === undefined || !argv.includes("--")) return argv;
  const [family, first] = operandsBefore(argv, [program, run]);
  if (family === undefined || argv[family] !== "lock") return argv;
  const isVerb = first !== undefined && [...lock.commands.map((command) => command.name()), "help"].includes(argv[first] ?? "");
  return isVerb ? argv : [...argv.slice(0, family + 1), "run", ...argv.slice(family + 1)];
}

/** Places of the words that are neither options nor their values, up to the dashes. */
function operandsBefore(argv: readonly string[], commands: readonly Command[]): readonly number[] {
  const options = commands.flatMap((command) => [...command.options]);
  const found: number[] = [];
  // The first two are Node and the script.
  for (let at = 2; at < argv.length && argv[at] !== "--"; at++) {
    const word = argv[at] ?? "";
    if (word.length < 2 || !word.startsWith("-")) found.push(at);
    else if (options.some(({ short, long, required }) => required && (short === word || long === word))) at++;
  }
  return found;
}

/**
 * `operands` are the words of a verb without its options, `typed` the whole command line: Commander drops the dashes, so they are looked up there. Null = there
 * are none. Where no name stands before them, the names are what stands before the next ones: so a name may look like a verb or an option.
 */
export function dividedAtDashes(typed: readonly string[], operands: readonly string[]): NamesAndCommand | null {
  const at = typed.indexOf("--");
  if (at < 0) return null;
  const behind = typed.slice(at + 1);
  const names = operands.slice(0, Math.max(0, operands.length - behind.length));
  const next = behind.indexOf("--");
  if (names.length > 0 || next < 0) return { names, command: behind };
  return { names: behind.slice(0, next), command: behind.slice(next + 1) };
}

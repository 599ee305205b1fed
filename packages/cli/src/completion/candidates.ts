import type { Argument, Command, Option } from "commander";

/** Something that may stand where the cursor is. */
export interface Candidate {
  readonly value: string;
  readonly about: string;
}

/** What the shell itself knows more about: names of files, or a command line of its own that begins at this word. */
export type Beyond = { readonly type: "none" } | { readonly type: "files" } | { readonly type: "command"; readonly from: number };

export interface Completion {
  readonly candidates: readonly Candidate[];
  /** Names that only the cluster knows. */
  readonly names: "locks" | "queues" | null;
  readonly beyond: Beyond;
  /** Global options with their values, for whoever asks the cluster. */
  readonly given: Readonly<Record<string, string>>;
}

/** Where the words before the cursor lead. */
interface Place {
  command: Command;
  readonly operands: string[];
  /** Its value is expected. */
  option: Option | null;
  /** The first word behind the dashes; null = there are none yet. */
  behind: number | null;
  readonly given: Record<string, string>;
}

const nothing = { candidates: [], names: null, beyond: { type: "none" } } as const;
const files = { ...nothing, beyond: { type: "files" } } as const;

/** `words` as typed, without the program's own name; the last one is the one under the cursor. */
export function complete(program: Command, words: readonly string[]): Completion {
  const place = placeOf(program, words.slice(0, -1));
  return { ...completionAt(place, words.at(-1) ?? ""), given: place.given };
}

function completionAt(place: Place, current: string): Omit<Completion, "given"> {
  const { command, behind, operands, option } = place;
  if (option !== null) return ofOption(option, "", current);
  if (behind !== null) {
    const isCommand = takesCommand(command) && (operands.length > 0 || !takesNames(command));
    if (isCommand) return { ...nothing, beyond: { type: "command", from: behind } };
    return ofOperand(command, operands.length, current);
  }
  const options = optionsOf(shortFor(command));
  const equals = current.indexOf("=");
  if (current.startsWith("--") && equals > 0) {
    const named = optionOf(options, current.slice(0, equals));
    return named === undefined ? nothing : ofOption(named, current.slice(0, equals + 1), current.slice(equals + 1));
  }
  if (current.startsWith("-")) return { ...nothing, candidates: matching(options.flatMap(optionWords), current) };
  const verbs =
    operands.length > 0 ? [] : command.commands.filter(isShown).map((verb) => ({ value: verb.name(), about: verb.description() }));
  const operand = ofOperand(shortFor(command), operands.length, current);
  return { ...operand, candidates: [...matching(verbs, current), ...operand.candidates] };
}

function placeOf(program: Command, words: readonly string[]): Place {
  const place: Place = { command: program, operands: [], option: null, behind: null, given: {} };
  for (const [at, word] of words.entries()) step(place, word, at);
  return place;
}

function step(place: Place, word: string, at: number): void {
  if (place.option !== null) {
    place.given[place.option.attributeName()] = word;
    place.option = null;
  } else if (place.behind !== null) stepBehind(place, word, at);
  else if (word === "--") {
    place.command = shortFor(place.command);
    place.behind = at + 1;
  } else if (word.length > 1 && word.startsWith("-")) stepOption(place, word);
  else {
    const verb = place.operands.length > 0 ? undefined : place.command.commands.find((candidate) => candidate.name() === word);
    if (verb !== undefined) place.command = verb;
    else {
      place.command = shortFor(place.command);
      place.operands.push(word);
    }
  }
}

/** Without a name before the dashes the names stand behind them, up to the next ones. */
function stepBehind(place: Place, word: string, at: number): void {
  const { behind, operands } = place;
  if (behind === null || operands.length > 0 || !takesNames(place.command)) return;
  if (word !== "--" || at === behind) return;
  operands.push(...Array.from({ length: at - behind }, () => "a name"));
  place.behind = at + 1;
}

function stepOption(place: Place, word: string): void {
  const equals = word.indexOf("=");
  const named = equals < 0 ? word : word.slice(0, equals);
  const option = optionOf(optionsOf(shortFor(place.command)), named);
  if (option === undefined) return;
  if (equals > 0) place.given[option.attributeName()] = word.slice(equals + 1);
  else if (option.required) place.option = option;
}

/** `trivet lock NAME` is short for its verb. */
function shortFor(command: Command): Command {
  return command.name() === "lock" ? (command.commands.find((verb) => verb.name() === "run") ?? command) : command;
}

const pathOf = (command: Command): string => `${command.parent?.name() ?? ""} ${command.name()}`;
/** Behind the dashes of these stands a command line; of the first only after a name. */
const takesNames = (command: Command): boolean => pathOf(command) === "lock run";
const takesCommand = (command: Command): boolean => takesNames(command) || pathOf(command) === "member restart";

function optionsOf(command: Command): readonly Option[] {
  const own = command.options.filter((option) => !option.hidden);
  return command.parent === null ? own : [...own, ...optionsOf(command.parent)];
}

function optionOf(options: readonly Option[], word: string): Option | undefined {
  return options.find(({ short, long }) => short === word || long === word);
}

function optionWords(option: Option): readonly Candidate[] {
  const word = option.long ?? option.short;
  return word === undefined ? [] : [{ value: word, about: option.description }];
}

const isShown = (command: Command): boolean => !command.name().startsWith("__");
const namesFile = /<(?:file|path|dir|folder|data-dir)>/;

function ofOption(option: Option, before: string, current: string): Omit<Completion, "given"> {
  if (option.argChoices !== undefined) {
    const choices = option.argChoices.map((choice) => ({ value: `${before}${choice}`, about: "" }));
    return { ...nothing, candidates: matching(choices, `${before}${current}`) };
  }
  return namesFile.test(option.flags) && before === "" ? files : nothing;
}

function ofOperand(command: Command, place: number, current: string): Omit<Completion, "given"> {
  const all = command.registeredArguments;
  const argument: Argument | undefined = all[place] ?? (all.at(-1)?.variadic === true ? all.at(-1) : undefined);
  if (argument === undefined) return nothing;
  if (argument.argChoices !== undefined)
    return {
      ...nothing,
      candidates: matching(
        argument.argChoices.map((value) => ({ value, about: "" })),
        current,
      ),
    };
  const family = command.parent?.name();
  const isName = argument.name() === "name" || argument.name() === "names" || argument.name() === "prefix";
  if (isName && family === "lock") return { ...nothing, names: "locks" };
  if (isName && family === "queue" && command.name() !== "create") return { ...nothing, names: "queues" };
  return /^(?:file|path|dir|data-dir)$/.test(argument.name()) ? files : nothing;
}

function matching(candidates: readonly Candidate[], current: string): readonly Candidate[] {
  return candidates.filter(({ value }) => value.startsWith(current));
}

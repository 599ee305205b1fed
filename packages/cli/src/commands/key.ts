import { type Command, InvalidArgumentError, Option } from "commander";
import { createHash, randomBytes, randomInt } from "node:crypto";
import { openStore, type KeyRecord } from "../access/store.ts";
import { confirm, toolsOf, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { table } from "../output/output.ts";

const dayMs = 24 * 3_600_000;

export function registerKey(program: Command, context: Context): void {
  const key = program.command("key").description("keys of callers, kept as hashes in a file that each node reads (ACCESS_FILE)");

  inFile(key.command("create"))
    .argument("<name>", "who will use it; it is the principal of what the key holds")
    .requiredOption("--role <role>", "admin, writer, reader, or one of your own (trivet role)")
    .option("--days <days>", "it ends after so long; without it, never", daysOption)
    .description("make a key; it is printed once, and only its hash is kept")
    .action(async (name: string, options: { file: string; role: string; days?: number }, command: Command) => {
      const { output } = toolsOf(context, command);
      if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name))
        throw usageError(`"${name}" is no name for a key.`, "1 to 64 letters, digits, '.', '_' or '-'");
      const store = await openStore(options.file);
      if (!store.builtIn.includes(options.role) && !store.file.roles.has(options.role))
        throw usageError(
          `There is no role ${options.role}.`,
          `${store.builtIn.join(", ")}, or make it: trivet role set ${options.role} --allow …`,
        );
      const id = Array.from({ length: 10 }, () => "abcdefghijklmnopqrstuvwxyz234567"[randomInt(32)]).join("");
      const secret = randomBytes(32).toString("base64url");
      const now = Date.now();
      const record: KeyRecord = {
        id,
        name,
        role: options.role,
        sha256: createHash("sha256").update(secret).digest("hex"),
        created: new Date(now).toISOString(),
        expires: options.days === undefined ? null : new Date(now + options.days * dayMs).toISOString(),
        revoked: null,
      };
      store.save({ ...store.file, keys: [...store.file.keys, record] });
      const text = `tvt_${id}_${secret}`;
      output.result("key", { id, name, role: record.role, expires: record.expires, key: text }, () => text);
      output.say(
        `This is the only time the key is shown. Its hash is in ${store.path}; each node needs that file (ACCESS_FILE, with AUTH_MODE=keys).`,
      );
    });

  inFile(key.command("list"))
    .description("keys, without their secrets")
    .action(async (options: { file: string }, command: Command) => {
      const { output } = toolsOf(context, command);
      const { file } = await openStore(options.file);
      const keys = file.keys.map(({ id, name, role, created, expires, revoked }) => ({ id, name, role, created, expires, revoked }));
      output.result("keys", { keys }, () =>
        table(
          ["ID", "NAME", "ROLE", "CREATED", "ENDS", "REVOKED"],
          keys.map(({ id, name, role, created, expires, revoked }) => [id, name, role, dayOf(created), dayOf(expires), dayOf(revoked)]),
          output.paint,
        ),
      );
    });

  inFile(key.command("revoke"))
    .argument("<id>", "id of the key (trivet key list)")
    .option("--yes", "do not ask")
    .description("make a key worthless; nodes know it as soon as they have the file")
    .action(async (id: string, options: { file: string; yes?: boolean }, command: Command) => {
      const { output } = toolsOf(context, command);
      const store = await openStore(options.file);
      const found = store.file.keys.find((candidate) => candidate.id === id);
      if (found === undefined) throw usageError(`There is no key ${id}.`, `trivet key list --file ${store.path}`);
      await confirm(context, `The key ${id} of ${found.name} will be worthless.`, id, options.yes);
      const revoked = new Date().toISOString();
      store.save({
        ...store.file,
        keys: store.file.keys.map((each) => (each.id === id ? { ...each, revoked: each.revoked ?? revoked } : each)),
      });
      output.result("key", { id, name: found.name, revoked }, () => `The key ${id} of ${found.name} is revoked.`);
    });
}

export const inFile = (command: Command): Command =>
  command.addOption(new Option("--file <file>", "where roles and keys are").env("ACCESS_FILE").default("access.json"));

function daysOption(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 36_500)
    throw new InvalidArgumentError("It must be a whole number of days, 1 to 36500.");
  return value;
}

const dayOf = (date: string | null): string => (date === null || date === "" ? "" : date.slice(0, 10));

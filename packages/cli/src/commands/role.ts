import { type Command, InvalidArgumentError } from "commander";
import { openStore, type Rule } from "../access/store.ts";
import { toolsOf, type Context } from "../context.ts";
import { usageError } from "../output/errors.ts";
import { printable, table } from "../output/output.ts";
import { inFile } from "./key.ts";

export function registerRole(program: Command, context: Context): void {
  const role = program.command("role").description("what keys may do: verbs on a kind of thing, below a prefix of names");

  inFile(role.command("set"))
    .argument("<role>", "its name")
    .option("--allow <rule>", "VERBS:RESOURCE[:PREFIX], for example read,write:locks:orders/ (repeatable)", ruleOption, [])
    .description("make a role, or give it other rules; what no rule allows is forbidden")
    .action(async (name: string, options: { file: string; allow: readonly Rule[] }, command: Command) => {
      const { output } = toolsOf(context, command);
      if (options.allow.length === 0)
        throw usageError("A role without a rule may do nothing.", `trivet role set ${name} --allow read,write:locks:orders/`);
      const store = await openStore(options.file);
      const roles = new Map(store.file.roles);
      roles.set(name, options.allow);
      store.save({ ...store.file, roles });
      output.result("role", { role: name, rules: options.allow }, () => `${name}: ${options.allow.map(ruleText).join("; ")}`);
    });

  inFile(role.command("list"))
    .description("roles and their rules; admin, writer and reader are always there")
    .action(async (options: { file: string }, command: Command) => {
      const { output } = toolsOf(context, command);
      const { file, builtIn } = await openStore(options.file);
      const roles = [...file.roles].map(([name, rules]) => ({ role: name, rules }));
      output.result("roles", { built_in: builtIn, roles }, () =>
        table(
          ["ROLE", "MAY"],
          [...builtIn.map((name) => [name, "built in"]), ...roles.map(({ role: name, rules }) => [name, rules.map(ruleText).join("; ")])],
          output.paint,
        ),
      );
    });

  inFile(role.command("remove"))
    .argument("<role>", "its name")
    .description("take a role away; no key may have it any more")
    .action(async (name: string, options: { file: string }, command: Command) => {
      const { output } = toolsOf(context, command);
      const store = await openStore(options.file);
      if (!store.file.roles.has(name))
        throw usageError(`There is no role ${name} that could be removed.`, `trivet role list --file ${store.path}`);
      const roles = new Map(store.file.roles);
      roles.delete(name);
      // Refused while a key has it, revoked or not.
      store.save({ ...store.file, roles });
      output.result("role", { role: name, removed: true }, () => `${name} is removed.`);
    });
}

const ruleText = ({ verbs, resource, prefix }: Rule): string =>
  `${verbs.join(",")}:${resource}${prefix === "" ? "" : `:${printable(prefix)}`}`;

function ruleOption(text: string, before: readonly Rule[]): readonly Rule[] {
  const match = /^([a-z,]+):([a-z]+)(?::(.*))?$/s.exec(text);
  if (match === null)
    throw new InvalidArgumentError("A rule is VERBS:RESOURCE or VERBS:RESOURCE:PREFIX, for example read,write:queues:orders/.");
  // Which verbs and resources there are is the server's to say, when the file is written.
  return [...before, { verbs: (match[1] ?? "").split(","), resource: match[2] ?? "", prefix: match[3] ?? "" }];
}

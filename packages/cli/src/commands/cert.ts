import { exitCodes } from "@trivet/contract";
import { type Command, InvalidArgumentError, Option } from "commander";
import { isIP } from "node:net";
import { toolsOf, type Context } from "../context.ts";
import { openFolder, type CertFolder } from "../certificates/files.ts";
import type { Issued } from "../certificates/issue.ts";
import type { Replacement } from "../files/replace-file.ts";
import { CliError, usageError } from "../output/errors.ts";
import { table, type Output } from "../output/output.ts";

/** N-10: a certificate lives for a year; its authority longer, as every node and client must be told of a new one. */
const nodeDays = 365;
const authorityDays = 3_650;

interface FolderOption {
  readonly dir: string;
}
interface InitOptions extends FolderOption {
  readonly days: number;
  readonly renew?: boolean;
  readonly dropOld?: boolean;
}
interface IssueOptions extends FolderOption {
  readonly owner?: NonNullable<Replacement["owner"]>;
  readonly days: number;
  readonly host: readonly string[];
  readonly client?: boolean;
  readonly renew?: boolean;
}

// The X.509 library and the server's own judgement are loaded only when one of these verbs runs.
const loadAuthority = () => import("../certificates/authority.ts");
const loadIssue = () => import("../certificates/issue.ts");
const loadServer = () => import("@trivet/server");

export function registerCert(program: Command, context: Context): void {
  const cert = program.command("cert").description("certificates of nodes and clients for TLS, from an authority of your own");

  inFolder(cert.command("init"))
    .addOption(daysOption(authorityDays))
    .option("--renew", "make a new authority; the old one stays trusted until --drop-old")
    .option("--drop-old", "trust only the newest authority, once every node has a certificate of it")
    .description("make the cluster's own authority (ca.key, ca.crt); one that is there is kept")
    .action(async (options: InitOptions, command: Command) => {
      const { output } = toolsOf(context, command);
      await init(output, openFolder(options.dir), options);
    });

  inFolder(cert.command("issue"))
    .argument("<names...>", "ids of nodes (their NODE_ID), or with --client names of clients", nameArgument)
    .addOption(daysOption(nodeDays))
    .option("--host <host>", "a further name or address the nodes are reached by (repeatable)", hostArgument, [])
    .option("--client", "for a client of nodes with TLS_MODE=mutual, not for a node")
    .option("--owner <uid[:gid]>", "user that the keys are for, where nodes run as another one (of the image: 1000)", ownerOption)
    .option("--renew", "also when the certificate that is there is good for another 30 days")
    .description("make NAME.key, NAME.csr and NAME.crt; good ones that are there are kept")
    .action(async (names: readonly string[], options: IssueOptions, command: Command) => {
      const { output } = toolsOf(context, command);
      await issueAll(output, openFolder(options.dir, options.owner), names, options);
    });

  inFolder(cert.command("verify"))
    .argument("[names...]", "ids of nodes; without them, everything in the folder")
    .option("--client", "the names are those of clients")
    .description("check chain, key, names and dates as a node does before it starts")
    .action(async (names: readonly string[], options: FolderOption & { client?: boolean }, command: Command) => {
      const { output } = toolsOf(context, command);
      await verify(output, openFolder(options.dir), names, options.client === true);
    });
}

const inFolder = (command: Command): Command =>
  command.addOption(new Option("--dir <folder>", "where they are").env("CERT_PATH").default("certs"));

function daysOption(days: number): Option {
  return new Option("--days <days>", "how long it is valid").default(days).argParser((text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < 1 || value > 36_500)
      throw new InvalidArgumentError("It must be a whole number of days, 1 to 36500.");
    return value;
  });
}

function nameArgument(text: string, before: readonly string[] | undefined): readonly string[] {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(text))
    throw new InvalidArgumentError("A name is 1 to 63 letters, digits, '.', '_' or '-'.");
  // ca.crt is the authority's.
  if (text === "ca" || text === "localhost") throw new InvalidArgumentError(`"${text}" is not the name of a node.`);
  return [...(before ?? []), text];
}

function hostArgument(text: string, before: readonly string[]): readonly string[] {
  const isHost = isIP(text) !== 0 || /^(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?$/.test(text);
  if (!isHost) throw new InvalidArgumentError("A host is a name or an address, without scheme and port.");
  return [...before, text];
}

function ownerOption(text: string): NonNullable<Replacement["owner"]> {
  const [, uid, gid = uid] = /^([0-9]{1,9})(?::([0-9]{1,9}))?$/.exec(text) ?? [];
  if (uid === undefined) throw new InvalidArgumentError("It must be the number of a user, or USER:GROUP in numbers.");
  return { uid: Number(uid), gid: Number(gid) };
}

async function init(output: Output, folder: CertFolder, options: InitOptions): Promise<void> {
  const { initAuthority, dropOldAuthorities } = await loadAuthority();
  if (options.dropOld && options.renew)
    throw usageError("--renew and --drop-old are two steps.", "trivet cert init --renew, trivet cert issue …, trivet cert init --drop-old");
  const dropped = options.dropOld ? dropOldAuthorities(folder) : 0;
  const authority = await initAuthority(folder, options.days, options.renew === true);
  const { made, subject, trustedBefore } = authority;
  const until = dayOf(authority.notAfter);
  output.result(
    "authority",
    { file: folder.file("ca.crt"), made, subject, not_after: authority.notAfter.toISOString(), older_trusted: trustedBefore, dropped },
    () =>
      [
        made
          ? `${folder.file("ca.crt")}: ${subject} is made, valid until ${until}.`
          : `${folder.file("ca.crt")}: ${subject} is there, valid until ${until}.`,
        ...(dropped > 0 ? [`${dropped} older ${dropped === 1 ? "authority is" : "authorities are"} no longer trusted.`] : []),
        ...(trustedBefore > 0
          ? [
              `${trustedBefore} older ${trustedBefore === 1 ? "authority stays" : "authorities stay"} trusted until: trivet cert init --drop-old`,
            ]
          : []),
      ].join("\n"),
  );
  if (made)
    output.say(
      `Keep ${folder.file("ca.key")} away from the nodes: who has it can pass for any of them.\nNext: trivet cert issue node1 node2 node3`,
    );
}

async function issueAll(output: Output, folder: CertFolder, names: readonly string[], options: IssueOptions): Promise<void> {
  const kind = options.client ? "client" : "node";
  if (kind === "client" && options.host.length > 0) throw usageError("A client has no --host.", "trivet cert issue NAME --client");
  const { openAuthority } = await loadAuthority();
  const { issue } = await loadIssue();
  const authority = await openAuthority(folder);
  const rows: Issued[] = [];
  for (const name of new Set(names)) {
    rows.push(await issue(folder, authority, { name, kind, hosts: options.host, days: options.days, renew: options.renew === true }));
    folder.give(`${name}.key`);
  }
  const shown = rows.map(({ name, made, names: listed, notAfter }) => ({ name, made, names: listed, not_after: notAfter.toISOString() }));
  output.result("certificates", { folder: folder.path, certificates: shown }, () =>
    table(
      ["NAME", "", "VALID UNTIL", "FOR"],
      rows.map(({ name, made, names: listed, notAfter }) => [name, made ? "made" : "kept", dayOf(notAfter), listed.join(", ")]),
      output.paint,
    ),
  );
}

async function verify(output: Output, folder: CertFolder, given: readonly string[], areClients: boolean): Promise<void> {
  const { readCertificates } = await loadServer();
  const names = given.length > 0 ? given : folder.names();
  if (names.length === 0)
    throw usageError(`There is no certificate in ${folder.path}.`, "trivet cert init, then: trivet cert issue node1 node2 node3");
  const rows = names.map((name) => {
    const files = { certFile: folder.file(`${name}.crt`), keyFile: folder.file(`${name}.key`), caFile: folder.file("ca.crt") };
    const isClient = areClients || (given.length === 0 && isClientFile(folder, name));
    const outcome = readCertificates(files, isClient ? { kind: "client" } : { kind: "node", id: name }, Date.now());
    return { name, outcome };
  });
  const faults = rows.flatMap(({ outcome }) => (outcome.type === "bad" ? [outcome.fault] : []));
  const good = rows.flatMap(({ name, outcome }) => (outcome.type === "good" ? [{ name, ...outcome.certificates }] : []));
  if (faults.length > 0) {
    const [first = "", ...others] = faults;
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.configuration,
      what: first,
      why: others.join("\n"),
      next: "trivet cert issue NAME --renew makes a certificate anew",
      details: { faults },
    });
  }
  const shown = good.map(({ name, names: listed, notAfter }) => ({ name, names: listed, not_after: new Date(notAfter).toISOString() }));
  output.result("certificates", { folder: folder.path, certificates: shown }, () =>
    table(
      ["NAME", "VALID UNTIL", "FOR"],
      good.map(({ name, names: listed, notAfter }) => [name, dayOf(new Date(notAfter)), listed.join(", ")]),
      output.paint,
    ),
  );
}

/** What a file is for is read from it only to choose the check; the check itself decides. */
function isClientFile(folder: CertFolder, name: string): boolean {
  const text = Buffer.from(folder.read(`${name}.crt`).replaceAll(/-----[^-]+-----|\s/g, ""), "base64").toString("latin1");
  return text.includes("trivet:client:");
}

const dayOf = (date: Date): string => date.toISOString().slice(0, 10);

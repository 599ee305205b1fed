import { Command, InvalidArgumentError, Option, type ParseOptions } from "commander";
import { registerAudit } from "./commands/audit.ts";
import { registerBench } from "./commands/bench.ts";
import { registerCache } from "./commands/cache.ts";
import { registerCert } from "./commands/cert.ts";
import { registerCompletion } from "./commands/completion.ts";
import { registerConfig } from "./commands/config.ts";
import { registerDebug } from "./commands/debug.ts";
import { registerDev } from "./commands/dev.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerHealth } from "./commands/health.ts";
import { registerKey } from "./commands/key.ts";
import { registerLeader } from "./commands/leader.ts";
import { registerLock } from "./commands/lock.ts";
import { registerMember } from "./commands/member.ts";
import { registerQueue } from "./commands/queue.ts";
import { registerRecover } from "./commands/recover.ts";
import { registerRole } from "./commands/role.ts";
import { registerServe } from "./commands/serve.ts";
import { registerSnapshot } from "./commands/snapshot.ts";
import { registerStatus } from "./commands/status.ts";
import { registerWal } from "./commands/wal.ts";
import type { Context } from "./context.ts";
import { withVerb } from "./locking/words.ts";
import { version } from "./version.ts";

/** Verbs that run a node, a cluster or a command: they handle signals themselves. */
const longRunning = new Set(["dev", "serve", "run"]);

/** Keeps the command line as it was typed: what stands behind dashes may be another command's. */
class Program extends Command {
  typed: readonly string[] = [];

  override parseAsync(argv: readonly string[] = process.argv, options?: ParseOptions): Promise<this> {
    this.typed = withVerb(argv, this);
    return super.parseAsync(this.typed, options);
  }
}

/** The whole command tree. `onInterruptible` is called before a verb that ends on Ctrl-C. */
export function buildProgram(context: Context, onInterruptible: () => void = () => undefined): Command {
  const program = new Program("trivet");
  program
    .description("Distributed locks, queues and a coherent cache on one Raft quorum: start a cluster, look at it, work with it.")
    .version(version, "-V, --version")
    .addOption(new Option("--url <urls>", "nodes to ask, comma-separated").env("TRIVET_URL"))
    .addOption(new Option("--ca <file>", "authority of the nodes' certificates (https)").env("TRIVET_CA_FILE"))
    .addOption(new Option("--client-cert <file>", "certificate of this client, where nodes want one").env("TRIVET_CERT_FILE"))
    .addOption(new Option("--client-key <file>", "its key").env("TRIVET_KEY_FILE"))
    .option("--json", "print JSON (versioned) instead of text")
    .option("--timeout <seconds>", "give up on a node after so long", positiveNumber, 15)
    .showHelpAfterError("(--help shows what each verb takes)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.streams.stdout.write(text),
      writeErr: (text) => void context.streams.stderr.write(text),
    })
    .addHelpText("after", helpFooter)
    .hook("preAction", (_program, action) => {
      if (!longRunning.has(action.name())) onInterruptible();
    });
  const families = [
    registerDev,
    registerServe,
    registerStatus,
    registerHealth,
    registerMember,
    registerLeader,
    (all: Command) => registerLock(all, context, () => program.typed),
    registerQueue,
    registerCache,
    registerCert,
    registerKey,
    registerRole,
    registerSnapshot,
    registerRecover,
    registerWal,
    registerDoctor,
    registerDebug,
    registerAudit,
    registerConfig,
    registerBench,
    registerCompletion,
  ];
  for (const register of families) register(program, context);
  return program;
}

const helpFooter = `
TRIVET_TOKEN holds the key or token of a cluster that asks for one (AUTH_MODE=keys, jwt), TRIVET_TOKEN_FILE names a file with it.

Exit codes: 0 done, 1 failed, 10 locked, 11 deadlock, 12 lock, session or message lost, 13 conflict, 14 outcome unknown, 64 wrong use,
65 bad request, 66 not found, 69 no node or no leader, 70 a fault in Trivet, 74 disk, 75 try again, 77 not allowed, 78 configuration.
trivet lock NAME -- COMMAND ends as the command does: with its code, 128+n when signal n ended it, 126 it cannot be run, 127 there is none.`;

function positiveNumber(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value <= 3_600)) throw new InvalidArgumentError("It must be a number of seconds, above 0 and at most 3600.");
  return value;
}

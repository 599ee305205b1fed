import { Argument, type Command } from "commander";
import { createApi, urlsFrom } from "../api/http.ts";
import { secureFetch } from "../api/secure-fetch.ts";
import { complete, type Beyond, type Completion } from "../completion/candidates.ts";
import { namesFrom, namesTimeoutMs } from "../completion/names.ts";
import { scripts, shells, type Shell } from "../completion/scripts.ts";
import { tokenOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";

export function registerCompletion(program: Command, context: Context): void {
  program
    .command("completion")
    .addArgument(new Argument("<shell>", "which one").choices(shells))
    .description("print the script that completes trivet's words in a shell")
    .addHelpText(
      "after",
      `
bash:  source <(trivet completion bash)        in ~/.bashrc (bash 4.4 or later)
zsh:   source <(trivet completion zsh)         in ~/.zshrc, after compinit
fish:  trivet completion fish > ~/.config/fish/completions/trivet.fish

It completes verbs, options and their choices, and names of locks and queues, which it asks the cluster for (--url of the line, TRIVET_URL, TRIVET_TOKEN); a cluster that
does not answer within ${namesTimeoutMs / 1_000} s has none.`,
    )
    .action((shell: Shell) => {
      context.streams.stdout.write(scripts[shell]);
    });

  program
    .command("__complete", { hidden: true })
    .argument("[words...]")
    .action(async (words: readonly string[]) => {
      const completion = complete(program, words);
      const names = await namesOf(context, completion, words.at(-1) ?? "");
      const lines = [...completion.candidates, ...names].map(({ value, about }) => `${value}\t${about}`);
      context.streams.stdout.write(`${[beyondLine(completion.beyond), ...lines].join("\n")}\n`);
    });
}

function beyondLine(beyond: Beyond): string {
  return beyond.type === "command" ? `command ${beyond.from}` : beyond.type;
}

async function namesOf(context: Context, { names, given }: Completion, prefix: string): ReturnType<typeof namesFrom> {
  if (names === null) return [];
  try {
    const { url, ca, clientCert, clientKey } = given;
    const fetch = secureFetch({
      ca: ca ?? context.env["TRIVET_CA_FILE"],
      clientCert: clientCert ?? context.env["TRIVET_CERT_FILE"],
      clientKey: clientKey ?? context.env["TRIVET_KEY_FILE"],
    });
    const token = (): string | undefined => tokenOf(context.env);
    const api = createApi({ urls: urlsFrom(url, context.env), timeoutMs: namesTimeoutMs, fetch: fetch ?? context.fetch, token });
    return await namesFrom(api, names, prefix);
  } catch (error) {
    // A file or an address that is wrong: the verb itself says so.
    if (error instanceof CliError) return [];
    throw error;
  }
}

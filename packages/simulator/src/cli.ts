/** The flags that both commands of the simulator share. A wrong flag is told and ends with exit code 64. */
export class Flags {
  private readonly values = new Map<string, string | true>();

  constructor(args: readonly string[], withValue: readonly string[], without: readonly string[], usage: string) {
    for (let i = 0; i < args.length; i += 1) {
      const [name, inline] = (args[i] ?? "").split("=", 2) as [string, string | undefined];
      const key = name.replace(/^--/, "");
      if (name === "--help") {
        process.stdout.write(`${usage}\n`);
        process.exit(0);
      }
      if (withValue.includes(key) && name.startsWith("--")) {
        const value = inline ?? args[(i += 1)];
        if (value === undefined) usageError(`${name} needs a value`, usage);
        this.values.set(key, value);
      } else if (without.includes(key) && name.startsWith("--") && inline === undefined) this.values.set(key, true);
      else usageError(`unknown argument ${args[i]}`, usage);
    }
  }

  has(key: string): boolean {
    return this.values.has(key);
  }

  text(key: string): string | null {
    const value = this.values.get(key);
    return typeof value === "string" ? value : null;
  }

  /** A whole number of at least `least`. */
  number(key: string, fallback: number, least: number = 0): number {
    const text = this.text(key);
    if (text === null) return fallback;
    const value = Number(text);
    if (!Number.isInteger(value) || value < least) usageError(`--${key} ${text}: a whole number of at least ${least} is needed`, "");
    return value;
  }
}

function usageError(message: string, usage: string): never {
  process.stderr.write(`${message}\n${usage === "" ? "" : `\n${usage}\n`}`);
  process.exit(64);
}

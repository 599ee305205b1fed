import type { ConfigurationInput } from "../../src/config/index.ts";

/** A configuration input made of plain values; files live in memory under /app. */
export function given(parts: {
  readonly argv?: readonly string[];
  readonly env?: Record<string, string>;
  readonly files?: Record<string, string>;
  readonly ignoreInDotenv?: (name: string) => boolean;
}): ConfigurationInput {
  const files = new Map(Object.entries(parts.files ?? {}).map(([name, text]) => [name.startsWith("/") ? name : `/app/${name}`, text]));
  return {
    argv: parts.argv ?? [],
    env: parts.env ?? {},
    cwd: "/app",
    hostname: "box",
    readFile: (path) => files.get(path) ?? null,
    ...(parts.ignoreInDotenv === undefined ? {} : { ignoreInDotenv: parts.ignoreInDotenv }),
  };
}

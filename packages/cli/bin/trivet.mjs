#!/usr/bin/env -S node --initial-old-space-size=128 --max-semi-space-size=8 --
// The flag: src/engine-flags.ts. The `--` keeps Node from taking `--env-file` and the like for itself. This file exists so that npm can link
// the command before anything is built; the program itself is bundle/main.js.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const main = new URL("../bundle/main.js", import.meta.url);
if (!existsSync(fileURLToPath(main))) {
  process.stderr.write("trivet is not built yet.\n  Next: npm run build\n");
  process.exit(69);
}
await import(main.href);

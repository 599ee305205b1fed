export { buildProgram } from "./program.ts";
export { CliError } from "./output/errors.ts";
export type { Context } from "./context.ts";
export { engineFlags } from "./engine-flags.ts";

export * from "./checkers/index.ts";
export * from "./options.ts";
export * from "./run.ts";

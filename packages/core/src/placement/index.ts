export * from "./place.ts";
export * from "./preference.ts";

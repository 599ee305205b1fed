import { afterAll, beforeEach, vi } from "vitest";
import { activateMutants } from "../src/mutation-on.ts";

/** Unit tests share what they have loaded (vitest.config.ts): what a file has switched on, spied upon or stubbed is no other file's. */
beforeEach(() => activateMutants([]));
afterAll(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.unstubAllEnvs();
  vi.useRealTimers();
});

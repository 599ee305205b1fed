import { beforeEach } from "vitest";
import { activateMutants } from "../../src/mutation-on.ts";

/** Unit tests share what they have loaded (vitest.config.ts): what one left switched on is no other's. */
beforeEach(() => activateMutants([]));

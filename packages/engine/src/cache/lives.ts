import { mutant } from "@trivet/core/mutation";
import { readJsonFile, writeJsonFile } from "../log/json-file.ts";
import type { Ports } from "../ports/index.ts";

const path = "cache-lives.json";
/** Lives of a holder that one run of the program may have: after each lapse it begins another. */
const livesPerRun = 2 ** 20;

/**
 * A number for this run of the program that is above all of earlier ones on this disk (rule M2), with room for the lives of a holder above it. Seconds since
 * 1970 where that is more: should the file be damaged, nothing but a clock that was set back brings a former life again.
 */
export function nextLife({ clock, crypto, files, telemetry }: Ports, done: (error: Error | null, firstIncarnation: number) => void): void {
  readJsonFile(files, crypto, path, (readError, stored) => {
    if (readError !== null)
      telemetry.log("warn", "cache.lives", `${path} cannot be read: counted from the clock`, { error: readError.message });
    const former = typeof stored === "object" && stored !== null && "run" in stored && typeof stored.run === "number" ? stored.run : 0;
    const run = Math.max(mutant("cache-life-repeated") ? former : former + 1, Math.floor(clock.wallNow() / 1000));
    writeJsonFile(files, crypto, path, { run }, (error) => done(error, run * livesPerRun));
  });
}

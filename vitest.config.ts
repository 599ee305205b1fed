import { defineConfig } from "vitest/config";

/** They put modules of their own in the place of ours, so each file loads its own. */
const ownModules = ["packages/core/test/coherence/model.test.ts", "packages/server/test/process/failed-start.test.ts"];

/** Tests run the TypeScript sources of all workspaces unbuilt, through the `source` export condition. */
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    // Of two processors Vitest would leave one alone.
    maxWorkers: "100%",
    projects: [
      {
        extends: true,
        // The guards' switches, all of them off: tests of guards turn one on.
        resolve: { conditions: ["mutants", "source"] },
        ssr: { resolve: { conditions: ["mutants", "source"] } },
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts", "benchmarks/test/**/*.test.ts", "tools/**/*.test.ts"],
          exclude: ownModules,
          testTimeout: 60_000,
          // Half of the time would go into loading the same modules for every file.
          isolate: false,
          setupFiles: ["packages/core/test/shared-modules.ts"],
        },
      },
      { extends: true, test: { name: "own-modules", include: ownModules, testTimeout: 60_000 } },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/**/*.test.ts"],
          exclude: ["test/acceptance/**"],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
      {
        extends: true,
        test: {
          name: "acceptance",
          include: ["test/acceptance/**/*.test.ts"],
          globalSetup: ["test/acceptance/setup.ts"],
          testTimeout: 180_000,
          hookTimeout: 600_000,
          fileParallelism: false,
        },
      },
    ],
  },
});

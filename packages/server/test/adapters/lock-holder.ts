import { NodeFiles } from "../../src/adapters/files.ts";

// Takes the lock of a directory and holds it until it is killed or the parent goes.
const files = new NodeFiles(process.argv[2] ?? "");
files.lock("lock", (error) => {
  process.send?.(error === null ? "locked" : error.message);
});
process.on("disconnect", () => process.exit());

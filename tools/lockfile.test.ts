import { describe, expect, it } from "vitest";
import { lockfileProblems } from "./lockfile.ts";

const integrity = "sha512-x";
const good = {
  packages: {
    "": { dependencies: { tool: "1.0.0" } },
    "node_modules/tool": { version: "1.0.0", integrity, optionalDependencies: { "tool-linux": "1.0.0", nested: "2.0.0" } },
    "node_modules/tool-linux": { version: "1.0.0", integrity, resolved: "https://registry.npmjs.org/tool-linux/-/tool-linux-1.0.0.tgz" },
    "node_modules/tool/node_modules/nested": { version: "2.0.0", integrity },
  },
};
const manifests = { "": { dependencies: { tool: "1.0.0" } } };

describe("lockfile check", () => {
  it("accepts a lockfile that npm ci can install", () => {
    expect(lockfileProblems(good, manifests)).toEqual([]);
  });

  it("finds an optional dependency that the registry did not have", () => {
    const { "node_modules/tool-linux": _dropped, ...packages } = good.packages;
    expect(lockfileProblems({ packages }, manifests)).toEqual([expect.stringContaining("tool-linux is not in the lockfile")]);
  });

  it("finds a package from elsewhere, and one that nothing vouches for", () => {
    const packages = { ...good.packages, "node_modules/odd": { version: "1.0.0", resolved: "https://example.com/odd.tgz" } };
    expect(lockfileProblems({ packages }, manifests)).toEqual([
      expect.stringContaining("comes from https://example.com"),
      expect.stringContaining("no integrity"),
    ]);
  });

  it("finds a manifest that differs from the lockfile or is not pinned", () => {
    expect(lockfileProblems(good, { "": { dependencies: { tool: "^1.0.0" } } })).toEqual([
      expect.stringContaining("differs from the lockfile"),
      expect.stringContaining("not pinned"),
    ]);
  });

  it("does not pass on an empty lockfile", () => {
    expect(lockfileProblems({ packages: {} }, {})).toEqual(["package-lock.json lists no packages"]);
  });
});

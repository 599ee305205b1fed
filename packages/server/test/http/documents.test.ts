import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { openApiYaml } from "../../src/http/cluster/docs.ts";
import { version } from "../../src/version.ts";

const file = readFileSync(new URL("../../../../docs/api_spec.yaml", import.meta.url), "utf8");

test("docs/api_spec.yaml is what the route schemas generate (packages/server/src/api-spec-main.ts writes it anew)", async () => {
  expect(file).toBe(await openApiYaml(version));
});

test("docs/api_spec.yaml is valid YAML with the version of the package", () => {
  const document = parse(file) as { openapi: string; info: { version: string }; paths: object };
  const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  expect(document.openapi).toBe("3.1.0");
  expect(document.info.version).toBe(manifest.version);
  expect(version).toBe(manifest.version);
  expect(Object.keys(document.paths).length).toBeGreaterThan(35);
});

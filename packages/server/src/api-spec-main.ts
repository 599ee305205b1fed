import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openApiYaml } from "./http/cluster/docs.ts";
import { version } from "./version.ts";

// Writes docs/api_spec.yaml anew: node --conditions=source --import tsx packages/server/src/api-spec-main.ts
writeFileSync(fileURLToPath(new URL("../../../docs/api_spec.yaml", import.meta.url)), await openApiYaml(version));

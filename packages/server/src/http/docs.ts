import fastifySwagger from "@fastify/swagger";
import fastifySwaggerUi from "@fastify/swagger-ui";
import { openApiDocument, type documentRoutes } from "@trivet/contract";
import type { FastifyInstance } from "fastify";
import { text } from "./answer.ts";
import type { Some } from "./calls.ts";

/** The OpenAPI document as YAML: the same text as docs/api_spec.yaml (a test compares them). */
export async function openApiYaml(version: string): Promise<string> {
  const { stringify } = await import("yaml");
  return `# Generated from the route schemas of packages/contract. Do not edit: node --conditions=source --import tsx packages/server/src/api-spec-main.ts\n${stringify(openApiDocument(version), { lineWidth: 140, aliasDuplicateObjects: false })}`;
}

/** Swagger UI at /docs, from files of the package: no network is needed. */
export async function useDocs(app: FastifyInstance, version: string): Promise<void> {
  const document = openApiDocument(version);
  await app.register(fastifySwagger, { mode: "static", specification: { document: document as never } });
  await app.register(fastifySwaggerUi, {
    routePrefix: "/docs",
    uiConfig: { docExpansion: "list", deepLinking: true },
    theme: { title: "Trivet API" },
    staticCSP: true,
    // A node speaks plain HTTP: a browser that was told to upgrade would ask for the page's files over TLS and show a blank page.
    transformStaticCSP: (header) => header.replace(/\s*upgrade-insecure-requests;?/, ""),
  });
}

/** Written when somebody asks for it first: no node needs it to start. */
export function documentHandlers(version: string): Some<keyof typeof documentRoutes> {
  let written: Promise<string> | null = null;
  return { openApi: async () => text(await (written ??= openApiYaml(version)), "application/yaml; charset=utf-8") };
}

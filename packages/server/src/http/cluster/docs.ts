import { openApiDocument, type documentRoutes } from "@trivet/contract";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { text } from "../answer.ts";
import type { Some } from "../calls.ts";

/** The OpenAPI document as YAML: the same text as docs/api_spec.yaml (a test compares them). */
export async function openApiYaml(version: string): Promise<string> {
  const { stringify } = await import("yaml");
  return `# Generated from the route schemas of packages/contract. Do not edit: node --conditions=source --import tsx packages/server/src/api-spec-main.ts\n${stringify(openApiDocument(version), { lineWidth: 140, aliasDuplicateObjects: false })}`;
}

/**
 * Swagger UI at /docs, from files of the package: no network is needed. It is made when somebody asks for it first, for a node starts
 * without it in a tenth less of the time. Plugins must be there before an application is ready, so it is one of its own, asked without a socket.
 */
export function useDocs(app: FastifyInstance, version: string): void {
  let made: Promise<FastifyInstance> | null = null;
  const show = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
    const pages = await (made ??= docsApp(version).catch((error: unknown) => {
      made = null;
      throw error;
    }));
    const { statusCode, headers, rawPayload } = await pages.inject({ method: "GET", url: request.url, headers: conditions(request) });
    if (statusCode === 404) return reply.callNotFound();
    // Whoever sends it says how it is sent.
    const { connection: _, "transfer-encoding": __, ...own } = headers;
    return reply.code(statusCode).headers(own).send(rawPayload);
  };
  for (const url of ["/docs", "/docs/*"]) app.get(url, { schema: { hide: true } }, show);
}

/** What a browser that has the file already says of it. */
function conditions({ headers }: FastifyRequest): Record<string, string> {
  const names = ["if-none-match", "if-modified-since", "range", "if-range", "accept"] as const;
  return Object.fromEntries(names.flatMap((name) => (typeof headers[name] === "string" ? [[name, headers[name]]] : [])));
}

async function docsApp(version: string): Promise<FastifyInstance> {
  const [{ default: fastify }, { default: fastifySwagger }, { default: fastifySwaggerUi }] = await Promise.all([
    import("fastify"),
    import("@fastify/swagger"),
    import("@fastify/swagger-ui"),
  ]);
  const app = fastify();
  await app.register(fastifySwagger, { mode: "static", specification: { document: openApiDocument(version) as never } });
  await app.register(fastifySwaggerUi, {
    routePrefix: "/docs",
    uiConfig: { docExpansion: "list", deepLinking: true },
    theme: { title: "Trivet API" },
    staticCSP: true,
    // A node speaks plain HTTP: a browser that was told to upgrade would ask for the page's files over TLS and show a blank page.
    transformStaticCSP: (header) => header.replace(/\s*upgrade-insecure-requests;?/, ""),
  });
  await app.ready();
  return app;
}

/** Written when somebody asks for it first: no node needs it to start. */
export function documentHandlers(version: string): Some<keyof typeof documentRoutes> {
  let written: Promise<string> | null = null;
  return { openApi: async () => text(await (written ??= openApiYaml(version)), "application/yaml; charset=utf-8") };
}

import type { TSchema } from "typebox";
import { errorCatalogue, type ErrorCode } from "./errors.ts";
import { errorsOf, routeIds, routeOf, tags, type RouteDefinition } from "./routes/index.ts";
import { Problem } from "./schemas/common.ts";

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
const plain = (schema: TSchema): Json => JSON.parse(JSON.stringify(schema)) as Json;

/** `/v1/locks/:name` in OpenAPI's spelling. */
export const openApiPath = (path: string): string => path.replaceAll(/:([a-z_]+)/g, "{$1}");

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, TSchema>>;
  readonly required?: readonly string[];
}

function parametersOf(definition: RouteDefinition): Json[] {
  const parameters: Json[] = [];
  for (const [place, schema] of [
    ["path", definition.params],
    ["query", definition.query],
  ] as const) {
    const { properties = {}, required = [] } = (schema ?? {}) as ObjectSchema;
    for (const [name, property] of Object.entries(properties)) {
      parameters.push({ name, in: place, required: place === "path" || required.includes(name), schema: plain(property) });
    }
  }
  if (definition.idempotent === true) parameters.push({ $ref: "#/components/parameters/IdempotencyKey" });
  parameters.push({ $ref: "#/components/parameters/RequestId" });
  return parameters;
}

function problemAnswers(definition: RouteDefinition): Record<string, Json> {
  const byStatus = new Map<number, ErrorCode[]>();
  for (const code of errorsOf(definition)) {
    const { status } = errorCatalogue[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  const answers: Record<string, Json> = {};
  for (const [status, codes] of [...byStatus].sort(([a], [b]) => a - b)) {
    answers[status] = {
      description: codes.map((code) => `\`${code}\`: ${errorCatalogue[code].title}.`).join(" "),
      content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
    };
  }
  return answers;
}

function describe(definition: RouteDefinition): string | undefined {
  const parts: string[] = [];
  if (definition.description !== undefined) parts.push(definition.description);
  if (definition.alias !== undefined) {
    parts.push(`Same as \`${openApiPath(definition.alias.of)}\`; this path is named by the source document ${definition.alias.source}.`);
  }
  if (definition.fields !== undefined) {
    const names = definition.fields.map((field) => `\`${field.from}\`${field.unit === undefined ? "" : " (seconds)"} for \`${field.to}\``);
    parts.push(`Other field names taken: ${names.join(", ")}. \`mode\` in any letter case.`);
  }
  return parts.length === 0 ? undefined : parts.join("\n\n");
}

function operation(id: string, definition: RouteDefinition): Json {
  const answers: Record<string, Json> = {};
  for (const [status, schema] of Object.entries(definition.responses)) {
    const contentType = definition.contentType ?? "application/json";
    answers[status] =
      status === "101"
        ? { description: "Switching protocols." }
        : { description: definition.summary, content: { [contentType]: { schema: plain(schema) } } };
  }
  if (id === "metrics")
    (answers["200"] as { content: Record<string, Json> }).content["text/plain; version=0.0.4; charset=utf-8"] = {
      schema: { type: "string" },
    };
  for (const [status, answer] of Object.entries(problemAnswers(definition))) {
    answers[status] ??= answer;
  }
  const description = describe(definition);
  return {
    operationId: id,
    tags: [definition.tag],
    summary: definition.summary,
    ...(description === undefined ? {} : { description }),
    parameters: parametersOf(definition),
    ...(definition.body === undefined
      ? {}
      : {
          requestBody: { required: definition.bodyOptional !== true, content: { "application/json": { schema: plain(definition.body) } } },
        }),
    responses: answers,
  };
}

/** The OpenAPI 3.1 document of the whole API, built from the route table and the error catalogue. */
export function openApiDocument(version: string): { readonly [key: string]: Json } {
  const paths: Record<string, Record<string, Json>> = {};
  for (const id of routeIds) {
    const definition = routeOf(id);
    const path = openApiPath(definition.path);
    (paths[path] ??= {})[definition.method.toLowerCase()] = operation(id, definition);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Trivet",
      version,
      description:
        "Distributed locks, durable queues and a coherent cache on one Raft quorum. Any node takes any call. Fences, indices and session ids are decimal strings. Errors are RFC 9457 problems; " +
        "each `code` is explained in docs/errors.md.\n\n" +
        "A literal path wins over a name: a lock called `acquire` under `/lock/` or `/locks/` is reached by `/v1/locks/acquire`, a queue called `produce` by `/v1/queues/produce`. The names `.` and `..` travel in bodies only.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    tags: tags.map((name) => ({ name })),
    paths,
    components: {
      parameters: {
        IdempotencyKey: {
          name: "Idempotency-Key",
          in: "header",
          required: false,
          schema: { type: "string", minLength: 1, maxLength: 255 },
          description: "The same key with the same body takes effect once; with another body it is 422.",
        },
        RequestId: {
          name: "X-Request-Id",
          in: "header",
          required: false,
          schema: { type: "string", maxLength: 128 },
          description: "Returned in the answer and written to the log.",
        },
      },
      schemas: { Problem: plain(Problem) },
    },
  };
}

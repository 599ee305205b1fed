import { exitCodes } from "@trivet/contract";
import { ConfigError } from "../config/errors.ts";
import type { Logger } from "./logger.ts";

/** Not among the dependencies: whoever wants spans sent somewhere installs them. */
const packages = ["@opentelemetry/sdk-trace-node", "@opentelemetry/resources", "@opentelemetry/exporter-trace-otlp-http"] as const;

interface Provider {
  register(): void;
  shutdown(): Promise<void>;
}
/** What is used of the three. */
interface Exporting {
  readonly NodeTracerProvider: new (options: object) => Provider;
  readonly BatchSpanProcessor: new (exporter: object) => object;
  readonly OTLPTraceExporter: new () => object;
  readonly resourceFromAttributes: (attributes: Readonly<Record<string, string>>) => object;
}
type Load = (name: string) => Promise<unknown>;

async function loadOne(load: Load, name: string): Promise<object> {
  try {
    return (await load(name)) as object;
  } catch (error) {
    throw new ConfigError(
      exitCodes.configuration,
      `TRACING=otlp: ${name} cannot be loaded: ${(error as Error).message.split("\n", 1)[0] ?? ""}`,
      [],
      `npm install ${packages.join(" ")}, or TRACING=off`,
    );
  }
}

/**
 * Registers a provider that sends spans by OTLP over HTTP, to where the OTEL_… variables say, which the exporter reads itself. Rejects with ConfigError when
 * it is not installed. Resolves with what sends the rest and ends it.
 */
export async function startExport(node: string, env: NodeJS.ProcessEnv, load: Load = (name) => import(name)): Promise<() => Promise<void>> {
  const parts: object[] = [];
  for (const name of packages) parts.push(await loadOne(load, name));
  const { NodeTracerProvider, BatchSpanProcessor, OTLPTraceExporter, resourceFromAttributes } = Object.assign({}, ...parts) as Exporting;
  const missing = Object.entries({ NodeTracerProvider, BatchSpanProcessor, OTLPTraceExporter, resourceFromAttributes }).find(
    ([, part]) => typeof part !== "function",
  );
  if (missing !== undefined)
    throw new ConfigError(
      exitCodes.configuration,
      `TRACING=otlp: the installed OpenTelemetry packages have no ${missing[0]}`,
      [],
      `npm install ${packages.map((name) => `${name}@latest`).join(" ")}, or TRACING=off`,
    );
  const provider = new NodeTracerProvider({
    resource: resourceFromAttributes({ "service.name": env["OTEL_SERVICE_NAME"] ?? "trivet", "service.instance.id": node }),
    spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  provider.register();
  return () => provider.shutdown();
}

/** The last spans are worth a moment, and no more: a collector that is away must not keep the node. */
export async function endInTime(end: () => Promise<void>, shutdownTimeoutMs: number, logger: Logger): Promise<void> {
  const limitMs = Math.min(2_000, shutdownTimeoutMs);
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${limitMs} ms`)), limitMs);
  });
  try {
    await Promise.race([end(), late]);
  } catch (error) {
    logger.log("warn", "tracing.lost", `the last spans could not be sent: ${(error as Error).message}`);
  } finally {
    clearTimeout(timer);
  }
}

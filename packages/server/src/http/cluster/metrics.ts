import type { metricsRoutes } from "@trivet/contract";
import { failure, text, type Answer } from "../answer.ts";
import type { Some } from "../calls.ts";
import type { HttpContext } from "../context.ts";

export const prometheusType = "text/plain; version=0.0.4; charset=utf-8";

export const metricsOff = (): Answer =>
  failure("not_found", { values: { what: "The metrics page" }, detail: "Metrics are off: ENABLE_METRICS is false." });

export async function metricsText(context: HttpContext): Promise<Answer> {
  if (!context.config.metricsEnabled) return metricsOff();
  return text(await context.metrics.text(), prometheusType);
}

export const metricsHandlers: Some<keyof typeof metricsRoutes> = {
  metricsText: (_call, context) => metricsText(context),
};

import type { ConnectOptions, TrivetConnection } from "@trivet/client";
import { errorCatalogue, exitCodes, type ErrorCode } from "@trivet/contract";
import type { Command } from "commander";
import { tokenOf, type Context } from "../context.ts";
import { CliError } from "../output/errors.ts";
import { noAnswer, urlsFrom } from "./http.ts";
import { pemsOf, type TlsFiles } from "./secure-fetch.ts";

/**
 * A connection of the SDK, with nodes, keys and certificates as every verb takes them. The SDK is loaded here: verbs without it start fast. Throws
 * CliError.
 */
export async function connectSdk(
  context: Context,
  command: Command,
  options: Pick<ConnectOptions, "label" | "sessionTtlMs"> = {},
): Promise<TrivetConnection> {
  const { url, timeout = 15, ...files } = command.optsWithGlobals<{ url?: string; timeout?: number } & TlsFiles>();
  const urls = urlsFrom(url, context.env);
  const hasToken = Boolean(tokenOf(context.env));
  const { connect } = await import("@trivet/client");
  try {
    return await connect(urls, {
      ...options,
      // Asked for every connection: what was renewed meanwhile is taken.
      ...(hasToken ? { token: () => tokenOf(context.env) ?? "" } : {}),
      tls: () => pemsOf(files),
      connectTimeoutMs: timeout * 1_000,
      commandTimeoutMs: timeout * 1_000,
    });
  } catch (error) {
    throw errorFromSdk(error);
  }
}

interface SdkError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;
}

/** By its shape: the class is in a package that is not loaded before it is needed. */
function isSdkError(error: unknown): error is SdkError {
  return error instanceof Error && "retryable" in error && "details" in error && "code" in error && typeof error.code === "string";
}

/** Code of an error of the SDK; null = it is none. */
export function sdkCodeOf(error: unknown): string | null {
  return isSdkError(error) ? error.code : null;
}

/** What the CLI prints for an error of the SDK, and how it exits: as for the same answer of a node. Other errors come back as they are. */
export function errorFromSdk(error: unknown): unknown {
  if (!isSdkError(error)) return error;
  const { code, message, details } = error;
  if (code === "unreachable") return noAnswer([message]);
  const entry = Object.hasOwn(errorCatalogue, code) ? errorCatalogue[code as ErrorCode] : undefined;
  return new CliError({
    code,
    exitCode: entry?.exitCode ?? exitCodes.failure,
    what: entry?.title ?? message,
    why: entry === undefined ? "" : message,
    next: entry?.next ?? "",
    details: asJson(details),
    cause: error,
  });
}

/** Fences are bigints in the SDK and decimal texts in JSON. */
function asJson(details: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const text = JSON.stringify(details, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
  return JSON.parse(text) as Record<string, unknown>;
}

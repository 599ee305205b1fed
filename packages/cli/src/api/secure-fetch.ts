import { exitCodes } from "@trivet/contract";
import { readFileSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { Readable } from "node:stream";
import { CliError } from "../output/errors.ts";

/** Files that HTTPS calls of the CLI need, from flags or from the environment. */
export interface TlsFiles {
  readonly ca?: string | undefined;
  readonly clientCert?: string | undefined;
  readonly clientKey?: string | undefined;
}

/** Those that were said, to be laid over others. */
export const namedIn = ({ ca, clientCert, clientKey }: TlsFiles): TlsFiles => ({
  ...(ca === undefined ? {} : { ca }),
  ...(clientCert === undefined ? {} : { clientCert }),
  ...(clientKey === undefined ? {} : { clientKey }),
});

function readPem(flag: string, path: string | undefined): Buffer | undefined {
  if (path === undefined || path === "") return undefined;
  try {
    return readFileSync(path);
  } catch (error) {
    throw new CliError({
      code: "configuration",
      exitCode: exitCodes.configuration,
      what: `${flag} ${path} cannot be read.`,
      why: error instanceof Error ? error.message : String(error),
      next: "trivet cert init makes an authority, trivet cert issue NAME --client a certificate for yourself",
      cause: error,
    });
  }
}

/** Null = the platform's own `fetch` does: nothing was said about certificates. */
export function secureFetch(files: TlsFiles): typeof fetch | null {
  if (!files.ca && !files.clientCert && !files.clientKey) return null;
  let trust: object | null = null;
  return async (input, init = {}) => {
    const url = new URL(input instanceof Request ? input.url : input);
    // The files are read by the first call that needs them: `cert init` is there to make them.
    return url.protocol === "https:" ? await send(url, init, (trust ??= trustIn(files))) : await fetch(input, init);
  };
}

function trustIn(files: TlsFiles): object {
  return { minVersion: "TLSv1.3", agent: false, ...pemsOf(files) };
}

/** What the files hold now. Throws CliError where one cannot be read. */
export function pemsOf(files: TlsFiles): { readonly ca?: Buffer; readonly cert?: Buffer; readonly key?: Buffer } {
  const ca = readPem("--ca", files.ca);
  const cert = readPem("--client-cert", files.clientCert);
  const key = readPem("--client-key", files.clientKey);
  return { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) };
}

/** As much of `fetch` as the CLI uses; fails as `fetch` does, with the reason as the cause. */
function send(url: URL, init: RequestInit, trust: object): Promise<Response> {
  const headers = Object.fromEntries(new Headers(init.headers).entries());
  const { signal = null, method = "GET" } = init;
  return new Promise((resolve, reject) => {
    const failed = (error: Error): void =>
      reject(signal?.aborted === true ? (signal.reason as Error) : new TypeError("fetch failed", { cause: error }));
    const call = request(url, { ...trust, method, headers, ...(signal === null ? {} : { signal }) }, (answer) => {
      if (answer.headers["content-type"] === "application/octet-stream") return resolve(streamed(answer));
      const pieces: Buffer[] = [];
      answer.on("error", failed);
      answer.on("data", (piece: Buffer) => pieces.push(piece));
      answer.on("end", () => {
        const { statusCode: status = 502 } = answer;
        const isEmpty = status === 204 || status === 304;
        const kept = Object.entries(answer.headers).flatMap(([name, value]) =>
          typeof value === "string" ? [[name, value] as [string, string]] : [],
        );
        resolve(new Response(isEmpty ? null : Buffer.concat(pieces), { status, headers: kept }));
      });
    });
    call.on("error", failed);
    call.end(typeof init.body === "string" ? init.body : undefined);
  });
}

/** What may be large is read by whoever asked, at its own pace. */
function streamed(answer: IncomingMessage): Response {
  return new Response(Readable.toWeb(answer) as ReadableStream<Uint8Array>, { status: answer.statusCode ?? 502 });
}

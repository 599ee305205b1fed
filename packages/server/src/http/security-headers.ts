import type { FastifyInstance } from "fastify";
import type { HttpContext } from "./context.ts";

/** What browsers need to know of answers that are for programs: nothing is to be guessed, framed, kept or passed on. */
const always = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "cache-control": "no-store",
} as const;
const secureOnly = { "strict-transport-security": "max-age=31536000" } as const;

/** On this machine the header would speak for every other program that has a port here. */
const isLocal = (host: string | undefined): boolean => /^(?:localhost|127\.|\[::1\])/.test(host ?? "");

/** Where TLS or access control is on. Elsewhere nothing is added: nobody asked for it, and each header costs. */
export function useSecurityHeaders(app: FastifyInstance, { tls, access }: HttpContext): void {
  if (tls === null && access === null) return;
  app.addHook("onRequest", (request, reply, done) => {
    reply.headers(always);
    if (tls !== null && !isLocal(request.headers.host)) reply.headers(secureOnly);
    done();
  });
}

import { SpanKind } from "@opentelemetry/api";
import { httpLimits } from "@trivet/contract";
import type { FastifyReply, FastifyRequest } from "fastify";
import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { failure, type Failure } from "./answer.ts";
import { endSpan, traceHeaders, type Traced, traceOf } from "../observability/tracing.ts";
import type { HttpContext } from "./context.ts";

/** A node that does not take a connection in this time is passed by. */
const connectTimeoutMs = 1_000;
/** Of this connection only (RFC 9110 §7.6.1); and what the next node must judge, or set, by itself. */
const notPassedOn: ReadonlySet<string> = new Set(
  "connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding upgrade host expect".split(
    " ",
  ),
);
/** This node has judged the page that a call comes from; at another address the same headers would say something else. */
const ofPages: ReadonlySet<string> = new Set(["origin", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user"]);
/** In `Via`: who passed a call on. A call that has it is not passed on again (one hop, and no circles). */
const mark = "(trivet)";

/** T-14: calls of a service that this node does not run go to a node that does, byte for byte, one hop. */
export class RoleProxy {
  private readonly context: HttpContext;
  /** The node that is asked first; they take turns. */
  private turn = 0;

  constructor(context: HttpContext) {
    this.context = context;
  }

  /** Was it passed on already? */
  static hasHopped(request: FastifyRequest): boolean {
    return (request.headers.via ?? "").includes(mark);
  }

  /** Answers the call with what one of `peers` says, or tells why nobody does. */
  async pass(request: FastifyRequest, reply: FastifyReply, peers: readonly string[], fail: (why: Failure) => void): Promise<void> {
    const first = this.turn++;
    for (let at = 0; at < peers.length; at++) {
      const peer = peers[(first + at) % peers.length] as string;
      const traced = this.begin(request, peer);
      const upstream = await this.connect(peer, request, traced);
      if (traced !== null) endWith(traced, upstream);
      if (upstream === null) continue;
      this.tell(request, peer);
      return this.exchange(upstream, request, reply, fail);
    }
    return fail(failure("role_unreachable", { values: { peers: peers.join(", ") }, members: { peers: [...peers] }, retryAfterMs: 1_000 }));
  }

  /** Connected, and nothing sent: until then another node may be tried. Null = it does not take calls. */
  private connect(peer: string, request: FastifyRequest, traced: Traced | null): Promise<ClientRequest | null> {
    // The path goes as it came: parsed once more it could name another path, or another host, than the one that was judged here.
    const url = new URL(peer);
    const isSecure = url.protocol === "https:";
    const { nodeId } = this.context.config;
    const trust = isSecure ? (this.context.tls?.dialOptions() ?? {}) : {};
    const trace = traced === null ? null : traceOf(traced);
    const headers = {
      ...passedOn(request.headers),
      ...forwardedOf(request, nodeId),
      ...lengthOf(request),
      ...(trace === null ? {} : traceHeaders(trace)),
    };
    return new Promise((resolve) => {
      // A connection of its own: one that was kept may be closed by its server the moment it is used, and nobody would know what happened.
      const upstream = (isSecure ? requestHttps : requestHttp)({
        host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
        port: url.port === "" ? (isSecure ? 443 : 80) : Number(url.port),
        path: request.url,
        method: request.method,
        headers,
        agent: false,
        setHost: true,
        ...trust,
      });
      const timer = setTimeout(() => upstream.destroy(), connectTimeoutMs);
      const end = (connected: ClientRequest | null): void => {
        clearTimeout(timer);
        resolve(connected);
      };
      upstream.once("socket", (socket) => socket.once(isSecure ? "secureConnect" : "connect", () => end(upstream)));
      upstream.once("close", () => end(null));
      // Which error it was does not matter: the next node is tried, and when there is none the caller is told which were.
      upstream.on("error", () => end(null));
    });
  }

  private exchange(upstream: ClientRequest, request: FastifyRequest, reply: FastifyReply, fail: (why: Failure) => void): Promise<void> {
    const { config } = this.context;
    return new Promise((resolve) => {
      let isOver = false;
      const over = (then: () => void): void => {
        if (isOver) return;
        isOver = true;
        then();
        resolve();
      };
      upstream.once("response", (answer: IncomingMessage) =>
        over(() => {
          reply.code(answer.statusCode ?? 502).headers({ ...passedOn(answer.headers), via: `1.1 ${config.nodeId} ${mark}` });
          void reply.send(answer);
        }),
      );
      upstream.once("close", () => over(() => fail(lost(request))));
      upstream.setTimeout(httpLimits.maxWaitMs + config.http.requestTimeoutMs, () => upstream.destroy());
      // A client that leaves ends its wait there too.
      reply.raw.once("close", () => upstream.destroy());
      request.raw.pipe(upstream);
    });
  }

  /** The next node's span is a child of this one: each node that was asked is one. */
  private begin(request: FastifyRequest, peer: string): Traced | null {
    const { tracing } = this.context;
    const { traced } = request;
    if (tracing === null || traced === null) return null;
    const attributes = { "http.request.method": request.method, "server.address": peer };
    return tracing.within(traced, () => tracing.child("pass on", SpanKind.CLIENT, attributes));
  }

  private tell(request: FastifyRequest, to: string): void {
    const { config, log, metrics } = this.context;
    metrics.count("http_passed_on_total", 1, { to });
    log.log(
      "debug",
      "http.forwarded",
      `${request.method} ${request.url} is passed from ${config.nodeId} to ${to}, which runs the service`,
      {
        from: config.nodeId,
        to,
        route: request.routeOptions.url,
        request_id: request.id,
      },
    );
  }
}

/** When its answer has come to its end, or at once when there was no connection. */
function endWith(traced: Traced, upstream: ClientRequest | null): void {
  if (upstream === null) return endSpan(traced, {}, "no connection");
  let status = 0;
  upstream.once("response", ({ statusCode = 0 }) => (status = statusCode));
  upstream.once("close", () =>
    endSpan(traced, { "http.response.status_code": status }, status === 0 ? "no answer" : status >= 500 ? `HTTP ${status}` : null),
  );
}

function passedOn(headers: IncomingHttpHeaders): Record<string, string | string[]> {
  const named = new Set((headers.connection ?? "").split(",").map((name) => name.trim().toLowerCase()));
  const kept = Object.entries(headers).filter(([name]) => !notPassedOn.has(name) && !ofPages.has(name) && !named.has(name));
  return Object.fromEntries(kept.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));
}

function forwardedOf(request: FastifyRequest, node: string): Record<string, string> {
  const before = (name: string): string => (request.headers[name] === undefined ? "" : `${String(request.headers[name])}, `);
  return {
    via: `${before("via")}1.1 ${node} ${mark}`,
    "x-forwarded-for": `${before("x-forwarded-for")}${request.ip}`,
    "x-forwarded-host": String(request.headers["x-forwarded-host"] ?? request.headers.host ?? ""),
    "x-request-id": request.id,
  };
}

/** A call without a body says so: else it would be sent as one of unknown length, which needs a content type. */
function lengthOf({ headers, method }: FastifyRequest): Record<string, string> {
  const hasBody = headers["content-length"] !== undefined || headers["transfer-encoding"] !== undefined;
  return hasBody || method === "GET" || method === "HEAD" ? {} : { "content-length": "0" };
}

/** It was sent, and its answer did not come. */
function lost(request: FastifyRequest): Failure {
  const { takes } = request.routeOptions.config as { readonly takes?: boolean };
  const isRead = (request.method === "GET" || request.method === "HEAD") && takes !== true;
  if (isRead) return failure("role_unreachable", { values: { peers: "the node that was asked" }, retryAfterMs: 1_000 });
  return failure("commit_timeout", {
    values: { id: request.id },
    detail: "The node that this call was passed to was lost before its answer came; the call may or may not take effect.",
    members: { outcome: "unknown", next: "Repeat the call with the same Idempotency-Key, or look at what is there." },
  });
}

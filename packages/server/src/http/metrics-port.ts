import type { FastifyInstance } from "fastify";
import type { RequestListener, Server } from "node:http";
import type { Connections } from "./connections.ts";
import { failure } from "./answer.ts";
import { buildProblem, problemContentType } from "./problems.ts";
import { pathOf } from "./register.ts";

/** The pages of metrics; nothing else is answered at METRICS_PORT. */
const pages: ReadonlySet<string> = new Set(["/metrics", "/v1/metrics"]);

/**
 * METRICS_PORT: a listener of its own for whoever collects metrics, so that the API's port need not be open to them. Its calls go the way of all others: who
 * may read, limits of calls and connections, headers, and the log are the same.
 */
export class MetricsPort {
  private readonly server: Server;
  private readonly host: string;
  private readonly port: number;

  constructor(
    app: FastifyInstance,
    connections: Connections,
    place: { readonly host: string; readonly port: number; readonly secure: boolean },
    create: (handler: RequestListener) => Server,
  ) {
    this.host = place.host;
    this.port = place.port;
    this.server = create((request, response) => {
      if (pages.has(pathOf(request.url ?? ""))) {
        app.routing(request, response);
        return;
      }
      const detail = "Only /metrics and /v1/metrics are answered at METRICS_PORT; the API is at HTTP_PORT.";
      const problem = buildProblem(failure("not_found", { values: { what: "This page" }, detail }), "-", false);
      response.writeHead(problem.status, { ...problem.headers, "content-type": problemContentType, "x-content-type-options": "nosniff" });
      response.end(JSON.stringify(problem.body));
    });
    // Nobody asks for metrics by WebSocket; without this the socket of whoever tries would stay.
    this.server.on("upgrade", (_request, socket) => socket.destroy());
    connections.attach(this.server, place.secure);
  }

  listen(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.server.once("error", reject);
      this.server.listen(this.port, this.host, () => {
        this.server.removeListener("error", reject);
        resolve();
      });
    });
  }

  close(): void {
    this.server.close();
    this.server.closeIdleConnections();
  }

  closeAll(): void {
    this.server.closeAllConnections();
  }
}

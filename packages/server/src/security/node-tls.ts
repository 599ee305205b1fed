import { readFile } from "node:fs/promises";
import { createSecureContext, type SecureContext, type Server, type TLSSocket, type TlsOptions } from "node:tls";
import { exitCodes } from "@trivet/contract";
import { ConfigError } from "../config/errors.ts";
import type { TlsConfig } from "../config/tls.ts";
import { nodesOf, readCertificates, type Certificates } from "./certificates.ts";

/** The files are compared so often; reading three small files costs nothing, and works where a volume swaps a link. */
const lookEveryMs = 2_000;
const warnBeforeMs = 30 * 24 * 3_600_000;
const warnEveryMs = 24 * 3_600_000;
/** A client has so long for its handshake; Node's own limit is two minutes. */
const handshakeTimeoutMs = 10_000;

export interface NodeTlsTools {
  readonly log: (level: "info" | "warn" | "error", event: string, text: string, fields?: Readonly<Record<string, unknown>>) => void;
  readonly count: (name: string, by: number, labels?: Readonly<Record<string, string>>) => void;
  /** Unix milliseconds; a certificate's dates are calendar dates. */
  readonly wallNow: () => number;
}

/** Who is at the other end of a TLS connection, as far as its certificate proves it. */
export type ProvenPeer =
  | { readonly type: "proven"; readonly nodes: readonly string[] }
  | { readonly type: "unproven"; readonly code: "no_certificate" | "certificate"; readonly detail: string };

/**
 * TLS of one node: what its listeners show, what it shows where it dials, and whom it trusts. When the files change, listeners and dials take
 * the new ones; when those are not good, the old ones stay and the log says why.
 */
export class NodeTls {
  readonly clients: TlsConfig["clients"];
  private readonly config: TlsConfig;
  private readonly nodeId: string;
  private readonly tools: NodeTlsTools;
  private readonly servers = new Map<Server, TlsOptions>();
  private readonly listeners = new Set<() => void>();
  private current: Certificates;
  private context: SecureContext;
  private refusedFault = "";
  private warnedAt = -Infinity;
  private timer: NodeJS.Timeout | null = null;
  private isLooking = false;

  /** Throws ConfigError when the files are not good: a node never starts without what it was told to use (W-79). */
  constructor(config: TlsConfig, nodeId: string, tools: NodeTlsTools) {
    this.config = config;
    this.nodeId = nodeId;
    this.tools = tools;
    this.clients = config.clients;
    const outcome = readCertificates(config, { kind: "node", id: nodeId }, tools.wallNow());
    if (outcome.type === "bad")
      throw new ConfigError(exitCodes.configuration, outcome.fault, [], "trivet cert verify, after that start the node again");
    this.current = outcome.certificates;
    this.context = createSecureContext(this.secrets());
    this.warn();
  }

  /** Unix milliseconds. */
  get notAfter(): number {
    return this.current.notAfter;
  }

  /** For `https.createServer`, and for a listener of peers alone, which turns everybody else away in the handshake. */
  serverOptions(forPeersAlone: boolean): TlsOptions {
    const mustProve = forPeersAlone || this.clients === "certified";
    return { ...this.secrets(), requestCert: true, rejectUnauthorized: mustProve, handshakeTimeout: handshakeTimeoutMs };
  }

  /** For `tls.connect` and `https.request`. The name of the host that is dialled must be in its certificate. */
  dialOptions(): { readonly secureContext: SecureContext; readonly minVersion: "TLSv1.3"; readonly rejectUnauthorized: true } {
    return { secureContext: this.context, minVersion: "TLSv1.3", rejectUnauthorized: true };
  }

  /** `server` gets new certificates whenever there are new ones. */
  keep(server: Server, forPeersAlone: boolean): void {
    this.servers.set(server, this.serverOptions(forPeersAlone));
    server.once("close", () => this.servers.delete(server));
    server.on("tlsClientError", (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      const reason = error.code ?? "unknown";
      this.tools.count("tls_refused_total", 1, { reason });
      // Scanners and health checks open and close connections; that is no news.
      if (reason === "ECONNRESET") return;
      const text = `a TLS handshake of ${socket.remoteAddress ?? "somebody"} failed: ${error.message.replace(/^.*?:error:/s, "").trim()} (${reason})`;
      this.tools.log("warn", "tls.refused", text, { reason });
    });
  }

  /** Called after new certificates were taken. */
  onReload(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** The nodes that the other end's certificate is for; only of this cluster's authority. */
  proven(socket: TLSSocket): ProvenPeer {
    const certificate = socket.getPeerX509Certificate();
    if (certificate === undefined)
      return {
        type: "unproven",
        code: "no_certificate",
        detail: "it showed no certificate, and nodes prove themselves to each other by one",
      };
    const who = `its certificate (${certificate.subject.replaceAll("\n", ", ")})`;
    if (!socket.authorized)
      return { type: "unproven", code: "certificate", detail: `${who} is not accepted: ${String(socket.authorizationError)}` };
    const nodes = nodesOf(certificate);
    if (nodes.length > 0) return { type: "proven", nodes };
    return {
      type: "unproven",
      code: "certificate",
      detail: `${who} names no node in its subjectAltName; make one with: trivet cert issue`,
    };
  }

  start(): void {
    this.timer = setInterval(() => void this.lookIfChanged(), lookEveryMs);
    this.timer.unref();
  }

  stop(): void {
    if (this.timer !== null) clearInterval(this.timer);
    this.timer = null;
  }

  /** Without holding up the node: a volume that hangs must not. Most of the time nothing has changed, and then nothing is parsed. */
  private async lookIfChanged(): Promise<void> {
    if (this.isLooking) return;
    this.isLooking = true;
    try {
      const { certFile, keyFile, caFile } = this.config;
      const [cert, key, ca] = await Promise.all([certFile, keyFile, caFile].map((file) => readFile(file, "utf8")));
      const { current } = this;
      if (cert === current.cert && key === current.key && ca === current.ca) this.warn();
      else this.look();
    } catch {
      // It says itself what is missing.
      this.look();
    } finally {
      this.isLooking = false;
    }
  }

  /** Reads the files again and judges them. */
  look(): void {
    const { tools, current } = this;
    const outcome = readCertificates(this.config, { kind: "node", id: this.nodeId }, tools.wallNow());
    if (outcome.type === "bad") {
      // While a file is being replaced it may not fit the others for a moment: told once per fault.
      if (this.refusedFault === outcome.fault) return;
      this.refusedFault = outcome.fault;
      tools.count("tls_reloads_total", 1, { outcome: "refused" });
      tools.log(
        "error",
        "tls.refused-files",
        `certificates that are not good were left where they are; the old ones stay in use: ${outcome.fault}`,
      );
      return;
    }
    const { certificates } = outcome;
    this.refusedFault = "";
    if (certificates.cert !== current.cert || certificates.key !== current.key || certificates.ca !== current.ca) this.take(certificates);
    this.warn();
  }

  private take(certificates: Certificates): void {
    this.current = certificates;
    this.context = createSecureContext(this.secrets());
    for (const [server, options] of this.servers) server.setSecureContext({ ...options, ...this.secrets() });
    this.warnedAt = -Infinity;
    this.tools.count("tls_reloads_total", 1, { outcome: "loaded" });
    const { subject, names, notAfter } = certificates;
    this.tools.log("info", "tls.loaded", `certificate ${subject} for ${names.join(", ")} is in use from now on, until ${dayOf(notAfter)}`);
    for (const listener of this.listeners) listener();
  }

  private warn(): void {
    const now = this.tools.wallNow();
    if (this.current.notAfter - now > warnBeforeMs || now - this.warnedAt < warnEveryMs) return;
    this.warnedAt = now;
    const text = `CERT_FILE: ${this.config.certFile} (${this.current.subject}) ends on ${dayOf(this.current.notAfter)}; renew it with: trivet cert issue ${this.nodeId}`;
    this.tools.log("warn", "tls.expiry", text, { not_after: new Date(this.current.notAfter).toISOString() });
  }

  private secrets(): { readonly cert: string; readonly key: string; readonly ca: string; readonly minVersion: "TLSv1.3" } {
    const { cert, key, ca } = this.current;
    return { cert, key, ca, minVersion: "TLSv1.3" };
  }
}

const dayOf = (time: number): string => new Date(time).toISOString().slice(0, 10);

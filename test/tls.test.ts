import { existsSync, readFileSync } from "node:fs";
import { connect as connectTls } from "node:tls";
import { join } from "node:path";
import { connect } from "@trivet/client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { s2Openssl } from "./support/document-commands.ts";
import { run } from "./support/processes.ts";
import { createTlsNodes, nodesOfS2, type NameOfS2, type TlsNodes } from "./support/tls-nodes.ts";
import { ready, waitFor } from "./support/wait.ts";

const lockNodes = ["node1", "node2", "node3"] as const;
const all = Object.keys(nodesOfS2) as NameOfS2[];
const hasOpenssl = (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, "openssl")));
const post = (url: string, body: object): string =>
  `curl --cacert certs/ca.crt -X POST ${url} -H "Content-Type: application/json" -d '${JSON.stringify(body)}'`;

/** S2's document from the beginning to the end, with an authority that is trusted where S2 says `curl -k`. */
describe("the flow of S2: HTTPS everywhere, without -k", () => {
  let nodes: TlsNodes;
  beforeAll(async () => {
    nodes = await createTlsNodes();
    await nodes.makeCertificates();
    for (const name of all) nodes.start(name);
    await nodes.untilHealthy(...all);
  });
  afterAll(() => nodes.destroy());

  it("one command makes an authority and seven certificates, under the names of the document", () => {
    for (const name of ["ca", ...all]) {
      expect(existsSync(join(nodes.certs, `${name}.key`)), name).toBe(true);
      expect(existsSync(join(nodes.certs, `${name}.crt`)), name).toBe(true);
    }
  });

  it("locks: through one node, seen through another, released through a third", async () => {
    const acquired = await nodes.curl(`curl --cacert certs/ca.crt -X POST "https://localhost:8001/lock/s2?lock_type=exclusive"`);
    expect(acquired.status, acquired.text).toBe(200);
    const seen = await nodes.curl("curl --cacert certs/ca.crt https://localhost:8002/lock/s2");
    expect(seen.body).toMatchObject({ status: "held" });
    const released = await nodes.curl("curl --cacert certs/ca.crt -X DELETE https://localhost:8003/lock/s2");
    expect(released.status, released.text).toBe(200);
  });

  it("queues: at their own node, and through a lock node, which passes them on over HTTPS", async () => {
    expect((await nodes.curl(post("https://localhost:9101/queue/create-group", { queue_name: "jobs" }))).status).toBe(200);
    const produced = await nodes.curl(post("https://localhost:8002/queue/produce", { queue_name: "jobs", message: { task: "resize" } }));
    expect(produced.status, produced.text).toBe(200);
    const consumed = await nodes.curl(post("https://localhost:9101/queue/consume", { queue_name: "jobs", consumer_id: "w" }));
    expect(consumed.body).toMatchObject({ status: "ok", messages: [{ message: { task: "resize" } }] });
  });

  it("the greeting and the leader's address say https", async () => {
    const greeting = await nodes.curl("curl --cacert certs/ca.crt https://localhost:8001/");
    expect(greeting.body["message"]).toBe("Hello from Node node1");
    expect(greeting.body["peers"]).toEqual(["node2", "node3"].map((name) => `https://localhost:${nodes.portOf(name as NameOfS2)}`));
  });

  it("curl without the authority is refused, and plain HTTP is told that HTTPS is required", async () => {
    await expect(nodes.curl("curl https://localhost:8001/health")).rejects.toThrow(/ended with 60/);
    const plain = await nodes.curl("curl http://localhost:8001/health");
    expect(plain.status).toBe(400);
    expect(plain.body).toMatchObject({ code: "https_required", title: "HTTPS required" });
  });

  it("the CLI and the SDK, which follows the leader from node to node", async () => {
    const urls = lockNodes.map((name) => `https://localhost:${nodes.portOf(name)}`);
    const status = await nodes.trivet("--url", urls.join(","), "status");
    expect(status.code, status.output).toBe(0);
    const blind = await run(
      process.execPath,
      ["--", join(import.meta.dirname, "..", "packages/cli/bundle/main.js"), "--url", urls[0] ?? "", "status"],
      {
        cwd: nodes.folder,
      },
    );
    expect(blind.code).not.toBe(0);
    expect(blind.output).toMatch(/--ca certs\/ca\.crt/);
    const ca = readFileSync(join(nodes.certs, "ca.crt"));
    await using trivet = await connect(urls, { tls: { ca } });
    await trivet.locks.with("sdk-over-tls", {}, (lock) => lock.assertHeld());
  });

  it("a node of another authority is no peer, though it has the key of the messages; both sides say so, and it is counted", async () => {
    const foreign = join(nodes.folder, "foreign");
    await nodes.makeCertificates("node3", "--dir", foreign);
    nodes.process("node3").signal("SIGKILL");
    await nodes.process("node3").exited;
    const odd = nodes.start("node3", {
      CERT_FILE: join(foreign, "node3.crt"),
      KEY_FILE: join(foreign, "node3.key"),
      CA_FILE: join(foreign, "ca.crt"),
    });
    await nodes.said("node3", /its certificate comes from another authority than the one in CA_FILE/);
    await nodes.said("node1", /its certificate comes from another authority than the one in CA_FILE/);
    const metrics = await nodes.curl("curl --cacert certs/ca.crt https://localhost:8001/v1/metrics");
    expect(metrics.text).toMatch(/tls_refused_total\{reason="ERR_SSL_[A-Z0-9_]*UNKNOWN_CA"\} [1-9]/);
    odd.signal("SIGKILL");
    await odd.exited;
    nodes.start("node3");
    await nodes.untilHealthy("node3");
  });

  it("a node may not take another one's name", async () => {
    nodes.process("node3").signal("SIGKILL");
    await nodes.process("node3").exited;
    const odd = nodes.start("node3", { CERT_FILE: join(nodes.certs, "cache-node-1.crt"), KEY_FILE: join(nodes.certs, "cache-node-1.key") });
    expect((await odd.exited).code).toBe(78);
    expect(odd.output()).toMatch(
      /CN=cache-node-1\) is for DNS:cache-node-1.*expected DNS:node3, the NODE_ID of this node; make one with: trivet cert issue node3/,
    );
    nodes.start("node3");
    await nodes.untilHealthy("node3");
  });

  it("renewed certificates are taken while everything runs, and peers link again with them", async () => {
    const serialOf = (name: NameOfS2): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connectTls({ port: nodes.portOf(name), host: "localhost", ca: readFileSync(join(nodes.certs, "ca.crt")) }, () => {
          resolve(socket.getPeerX509Certificate()?.serialNumber ?? "");
          socket.destroy();
        });
        socket.on("error", reject);
      });
    const before = await serialOf("node1");
    await nodes.makeCertificates(...lockNodes, "--renew");
    await waitFor("node1 to show its new certificate", async () => ((await serialOf("node1")) !== before ? ready(true) : "the old one"));
    await nodes.said("node2", /this node has a new certificate|is in use from now on/);
    await nodes.untilHealthy(...lockNodes);
    const acquired = await nodes.curl(`curl --cacert certs/ca.crt -X POST "https://localhost:8003/lock/after-renewal?lock_type=exclusive"`);
    expect(acquired.status, acquired.text).toBe(200);
  });

  it.skipIf(!hasOpenssl)(
    "a certificate made with the document's own openssl lines has a CN alone: refused, naming `trivet cert` (T-15)",
    async () => {
      const folder = join(nodes.folder, "openssl");
      // The lines as they are there, but for the folder, and PowerShell's variable.
      const lines = [
        `mkdir -p ${folder}`,
        ...s2Openssl.map((line) => `openssl ${line.replaceAll("/certs/", `${folder}/`).replaceAll("$env:NODE_NAME", "node1")}`),
      ];
      const made = await run("bash", ["-ec", lines.join("\n")], { cwd: nodes.folder });
      expect(made.code, made.output).toBe(0);
      const settings = { NODE_ID: "node1", HTTP_PORT: "0", CERT_PATH: folder, LOG_DIR: "off", DATA_DIR: join(folder, "data") };
      const serve = (): ReturnType<typeof run> =>
        run(process.execPath, ["--", join(import.meta.dirname, "..", "packages/cli/bundle/main.js"), "serve"], {
          cwd: nodes.folder,
          env: settings,
        });
      const refused = await serve();
      expect(refused.code).toBe(78);
      expect(refused.output).toMatch(/CERT_FILE: .*node1\.crt \(.*CN=node1.*\) has no subjectAltName: .*trivet cert issue node1/);
      // That command makes a good one from the same authority, whose key is RSA.
      const issued = await nodes.trivet("cert", "issue", "node1", "--dir", folder);
      expect(issued.code, issued.output).toBe(0);
      expect((await nodes.trivet("cert", "verify", "node1", "--dir", folder)).code).toBe(0);
    },
  );
});

import https from "node:https";
import type { AddressInfo } from "node:net";
import type { Link } from "@trivet/engine";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { NodeTransport } from "../../src/adapters/transport.ts";
import type { NodeTls } from "../../src/security/node-tls.ts";
import { makeAuthority, tlsOf, type TestAuthority } from "../security/certs.ts";

let own: TestAuthority;
let other: TestAuthority;
beforeAll(async () => {
  [own, other] = await Promise.all([makeAuthority(), makeAuthority()]);
  await Promise.all([own.issue("node1"), own.issue("node2", { hosts: ["queue-node-1"] }), other.issue("node2")]);
  await own.issue("billing", { kind: "client" });
});
afterAll(() => {
  own.remove();
  other.remove();
});
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

interface Acceptor {
  readonly port: number;
  readonly tls: NodeTls;
  readonly accepted: Link[];
  readonly refused: string[];
}
/** node1, taking peers on its API port as `createHttpApp` does. */
async function acceptor(): Promise<Acceptor> {
  const tls = tlsOf(own.files("node1"), "node1");
  const refused: string[] = [];
  const accepted: Link[] = [];
  const transport = new NodeTransport({ tls, refused: (_remote, code, detail) => refused.push(`${code}: ${detail}`) });
  transport.onAccept((link) => {
    link.handlers = { frame: (bytes) => link.send([bytes]), closed: () => {} };
    accepted.push(link);
  });
  const server = https.createServer(tls.serverOptions(false), (_, response) => response.end("the API"));
  tls.keep(server, false);
  server.on("upgrade", (request, socket, head) => void transport.handleUpgrade(request, socket, head));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  cleanups.push(() => {
    transport.close();
    server.close();
    server.closeAllConnections();
  });
  return { port: (server.address() as AddressInfo).port, tls, accepted, refused };
}
const dial = (tls: NodeTls | null, address: string): Promise<{ link: Link | null; reason: string }> => {
  const transport = new NodeTransport({ tls });
  cleanups.push(() => transport.close());
  return new Promise((resolve) => transport.dial(address, (link, reason) => resolve({ link, reason })));
};

describe("a link over TLS", () => {
  test("tells each end which nodes the other may be, also when the address says http", async () => {
    const { port, accepted } = await acceptor();
    const { link } = await dial(tlsOf(own.files("node2"), "node2"), `http://localhost:${port}`);
    expect(link?.provenNodes).toEqual(["node1"]);
    expect(accepted[0]?.provenNodes).toEqual(["node2", "queue-node-1"]);
    const echo = new Promise<string>((resolve) => {
      if (link !== null) link.handlers = { frame: (bytes) => resolve(Buffer.from(bytes).toString()), closed: resolve };
    });
    link?.send([Buffer.from("hello")]);
    expect(await echo).toBe("hello");
  });

  test("is made again after a new certificate, so that nothing goes on with an old one", async () => {
    const { port, tls } = await acceptor();
    const { link } = await dial(tlsOf(own.files("node2"), "node2"), `https://localhost:${port}`);
    const closed = new Promise<string>((resolve) => {
      if (link !== null) link.handlers = { frame: () => {}, closed: resolve };
    });
    await own.issue("node1");
    tls.look();
    expect(await closed).toBe("closed by the other side");
  });
});

describe("no link", () => {
  test("without a certificate, and both ends say so", async () => {
    const { port, accepted, refused } = await acceptor();
    const bare = new Promise<string>((resolve, reject) => {
      const headers = { Connection: "Upgrade", Upgrade: "trivet-peer-1" };
      const request = https.get({ port, host: "localhost", path: "/v1/peer", ca: own.ca, agent: false, headers }, (response) => {
        let text = "";
        response.setEncoding("utf8").on("data", (piece: string) => (text += piece));
        response.on("end", () => resolve(`${response.statusCode} ${text}`));
      });
      request.on("error", reject);
    });
    expect(await bare).toMatch(/^403 This node takes peers of its own authority only: it showed no certificate/);
    expect(refused).toEqual([expect.stringMatching(/^certificate: it showed no certificate/)]);
    expect(accepted).toEqual([]);
  });

  test("with the certificate of another authority", async () => {
    const { port, accepted, refused } = await acceptor();
    // It trusts node1's authority, and comes from another one.
    const stranger = tlsOf({ ...other.files("node2"), caFile: bundle() }, "node2");
    const { link, reason } = await dial(stranger, `https://localhost:${port}`);
    expect(link).toBeNull();
    expect(reason).toMatch(/HTTP 403 \(This node takes peers of its own authority only: its certificate \(CN=node2\) is not accepted/);
    expect(refused).toHaveLength(1);
    expect(accepted).toEqual([]);
  });

  test("with the certificate of a client", async () => {
    const { port, refused } = await acceptor();
    const client = https.get({
      port,
      host: "localhost",
      path: "/v1/peer",
      ca: own.ca,
      cert: own.folder.read("billing.crt"),
      key: own.folder.read("billing.key"),
      agent: false,
      headers: { Connection: "Upgrade", Upgrade: "trivet-peer-1" },
    });
    client.on("error", () => {});
    await expect.poll(() => refused).toEqual([expect.stringMatching(/\(CN=billing\) names no node in its subjectAltName/)]);
    client.destroy();
  });

  test("to a node of another authority, to one of another name, and to one without TLS: the dialler says which", async () => {
    const { port } = await acceptor();
    const stranger = tlsOf(other.files("node2"), "node2");
    expect((await dial(stranger, `https://localhost:${port}`)).reason).toMatch(/comes from another authority than the one in CA_FILE/);
    const node2 = tlsOf(own.files("node2"), "node2");
    expect((await dial(node2, `https://127.0.0.2:${port}`)).reason).toMatch(/refused|its certificate is for other names/);
    const plain = new NodeTransport();
    const plainPort = await new Promise<number>((resolve) => plain.listen("127.0.0.1", 0, (_, at) => resolve(at)));
    cleanups.push(() => plain.close());
    expect((await dial(node2, `https://localhost:${plainPort}`)).reason).toMatch(/it speaks plain HTTP where TLS is wanted/);
  });
});

test("a listener for peers alone turns clients away in the handshake", async () => {
  const transport = new NodeTransport({ tls: tlsOf(own.files("node1"), "node1") });
  transport.onAccept(() => {});
  cleanups.push(() => transport.close());
  const port = await new Promise<number>((resolve) => transport.listen("127.0.0.1", 0, (_, at) => resolve(at)));
  const failed = new Promise<string>((resolve) => {
    https
      .get({ port, host: "localhost", ca: own.ca, agent: false }, () => resolve("answered"))
      .on("error", (error) => resolve(error.message));
  });
  expect(await failed).not.toBe("answered");
  expect((await dial(tlsOf(own.files("node2"), "node2"), `https://localhost:${port}`)).link).not.toBeNull();
});

function bundle(): string {
  const { folder } = other;
  folder.write("bundle.crt", other.ca + own.ca, "public");
  return folder.file("bundle.crt");
}

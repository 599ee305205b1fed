import http from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";
import type { Link } from "@trivet/engine";
import { afterEach, describe, expect, test } from "vitest";
import { NodeTransport, peerPath, peerProtocol } from "../../src/adapters/transport.ts";
import type { NodeTransportOptions } from "../../src/adapters/transport.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function transport(options: NodeTransportOptions = {}): NodeTransport {
  const made = new NodeTransport(options);
  cleanups.push(() => made.close());
  return made;
}

async function listening(server: net.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const sockets = new Set<net.Socket>();
  server.on("connection", (socket: net.Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  cleanups.push(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}

async function peers(options: NodeTransportOptions = {}): Promise<{ acceptor: NodeTransport; port: number }> {
  const acceptor = transport(options);
  const server = http.createServer((_, response) => response.end("the API"));
  server.on("upgrade", (request, socket, head) => {
    if (!acceptor.handleUpgrade(request, socket, head)) socket.end("HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\n\r\n");
  });
  return { acceptor, port: await listening(server) };
}

const dial = (from: NodeTransport, address: string): Promise<{ link: Link | null; reason: string }> =>
  new Promise((resolve) => from.dial(address, (link, reason) => resolve({ link, reason })));

const closed = (link: Link): Promise<string> =>
  new Promise((resolve) => {
    link.handlers = { frame: () => {}, closed: resolve };
  });

/** Sends text over a bare socket and gives all that comes back. */
const talk = (port: number, text: string): Promise<string> =>
  new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (data) => {
      answer += data.toString();
    });
    socket.on("close", () => resolve(answer));
    socket.on("error", () => {});
  });

const upgradeRequest = (path: string, protocol: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;

describe("a dial that fails says why", () => {
  test("nobody listens", async () => {
    expect(await dial(transport(), "http://127.0.0.1:1")).toEqual({
      link: null,
      reason: "127.0.0.1:1 refused the connection: nothing listens there (ECONNREFUSED)",
    });
  });

  test("no such host", async () => {
    const { link, reason } = await dial(transport(), "http://no-such-host.invalid:8001");
    expect(link).toBeNull();
    expect(reason).toContain("no-such-host.invalid:8001");
  });

  test("not an address", async () => {
    expect((await dial(transport(), "ftp://x")).reason).toContain('"ftp://x" is not an address');
    expect((await dial(transport(), "http://:99999")).reason).toContain("is not an address");
  });

  test("a node that takes peers elsewhere, in its own words", async () => {
    const problem = JSON.stringify({ status: 403, detail: "Peers are taken on CLUSTER_PORT only." });
    const port = await listening(http.createServer((_, response) => response.writeHead(403).end(problem)));
    expect((await dial(transport(), `http://127.0.0.1:${port}`)).reason).toMatch(/HTTP 403 \(Peers are taken on CLUSTER_PORT only\.\)$/);
  });

  test("a server that breaks off in the middle of its answer", async () => {
    const cut = http.createServer((_, response) => {
      response.writeHead(403, { "content-length": "100" });
      response.write("{", () => response.destroy());
    });
    const port = await listening(cut);
    expect((await dial(transport(), `http://127.0.0.1:${port}`)).reason).toContain("it answered HTTP 403");
  });

  test("an HTTP server that is not Trivet", async () => {
    const port = await listening(http.createServer((_, response) => response.writeHead(404).end()));
    expect((await dial(transport(), `http://127.0.0.1:${port}`)).reason).toContain(
      "is not a Trivet node, or not one that takes peers: it answered HTTP 404",
    );
  });

  test("something that does not speak HTTP", async () => {
    const port = await listening(net.createServer((socket) => socket.end("SSH-2.0-OpenSSH\r\n")));
    expect((await dial(transport(), `127.0.0.1:${port}`)).reason).toMatch(/^127\.0\.0\.1:\d+: Parse Error/);
  });

  test("a server that never answers", async () => {
    const port = await listening(net.createServer(() => {}));
    expect((await dial(transport({ dialTimeoutMs: 50 }), `127.0.0.1:${port}`)).reason).toBe(
      `127.0.0.1:${port} did not answer within 50 ms`,
    );
  });

  test("a server that hangs up", async () => {
    const port = await listening(net.createServer((socket) => socket.destroy()));
    const { reason } = await dial(transport(), `127.0.0.1:${port}`);
    expect(reason).toMatch(/closed the connection|socket hang up/);
  });

  test("a server that switches to another protocol", async () => {
    const server = http.createServer();
    server.on("upgrade", (_, socket) =>
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    );
    const port = await listening(server);
    expect((await dial(transport(), `127.0.0.1:${port}`)).reason).toContain('speaks "websocket"');
  });

  test("a node that is starting, and one that is stopping", async () => {
    const { acceptor, port } = await peers();
    expect((await dial(transport(), `127.0.0.1:${port}`)).reason).toContain("HTTP 503");
    acceptor.onAccept(() => {});
    expect((await dial(transport(), `127.0.0.1:${port}`)).link).not.toBeNull();
    acceptor.close();
    expect((await dial(transport(), `127.0.0.1:${port}`)).reason).toContain("HTTP 503");
    const stopped = transport();
    stopped.close();
    expect((await dial(stopped, `127.0.0.1:${port}`)).reason).toBe("this node is stopping");
  });

  test("too many peers", async () => {
    const { acceptor, port } = await peers({ maxAccepted: 1 });
    acceptor.onAccept(() => {});
    const first = await dial(transport(), `127.0.0.1:${port}`);
    expect((await dial(transport(), `127.0.0.1:${port}`)).reason).toContain("HTTP 503");
    const gone = closed(first.link as Link);
    first.link?.close("make room");
    await gone;
    await expect.poll(async () => (await dial(transport(), `127.0.0.1:${port}`)).link !== null).toBe(true);
  });
});

describe("upgrade requests", () => {
  test("of another version are refused with the one that is spoken", async () => {
    const { acceptor, port } = await peers();
    acceptor.onAccept(() => {});
    const answer = await talk(port, upgradeRequest(peerPath, "trivet-peer-9"));
    expect(answer).toContain("HTTP/1.1 426");
    expect(answer).toContain(`This node speaks ${peerProtocol}, not "trivet-peer-9".`);
  });

  test("for other paths are left to others", async () => {
    const { acceptor, port } = await peers();
    acceptor.onAccept(() => {});
    expect(await talk(port, upgradeRequest("/v1/stream", "websocket"))).toContain("HTTP/1.1 426");
  });

  test("a first frame that comes with the request is not lost", async () => {
    const { acceptor, port } = await peers();
    const frame = new Promise<string>((resolve) => {
      acceptor.onAccept((link) => {
        link.handlers = { frame: (bytes) => resolve(Buffer.from(bytes).toString()), closed: () => {} };
      });
    });
    const socket = net.connect(port, "127.0.0.1", () => socket.write(`${upgradeRequest(peerPath, peerProtocol)}\u0003\0\0\0abc`));
    cleanups.push(() => socket.destroy());
    expect(await frame).toBe("abc");
  });

  test("on the peers' own port, everything else is refused", async () => {
    const acceptor = transport();
    const port = await new Promise<number>((resolve) => acceptor.listen("127.0.0.1", 0, (_, port) => resolve(port)));
    expect(await talk(port, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")).toContain("This port is for cluster peers only.");
    expect(await talk(port, upgradeRequest("/v1/stream", "websocket"))).toContain("HTTP/1.1 404");
    const second = await new Promise<Error | null>((resolve) => transport().listen("127.0.0.1", port, resolve));
    expect((second as NodeJS.ErrnoException).code).toBe("EADDRINUSE");
  });
});

const pair = async (options: NodeTransportOptions = {}): Promise<{ mine: Link; theirs: Link }> => {
  const { acceptor, port } = await peers(options);
  const accepted = new Promise<Link>((resolve) => acceptor.onAccept(resolve));
  const { link } = await dial(transport(), `127.0.0.1:${port}`);
  return { mine: link as Link, theirs: await accepted };
};

describe("a link", () => {
  test("ends when a frame is longer than allowed, with the reason on this side", async () => {
    const { mine, theirs } = await pair({ maxFrameBytes: 1000 });
    const reason = closed(theirs);
    const other = closed(mine);
    mine.send([new Uint8Array(1001)]);
    expect(await reason).toContain("a frame of 1001 bytes");
    expect(await other).not.toBe("");
  });

  test("counts what a slow reader has not taken", async () => {
    const { acceptor, port } = await peers();
    const accepted = new Promise<Link>((resolve) => acceptor.onAccept(resolve));
    // Asks for the upgrade and then reads nothing.
    const socket = net.connect(port, "127.0.0.1", () => socket.write(upgradeRequest(peerPath, peerProtocol)));
    socket.pause();
    cleanups.push(() => socket.destroy());
    const link = await accepted;
    for (let i = 0; i < 40; i++) link.send([new Uint8Array(1_000_000)]);
    await expect.poll(() => link.bufferedBytes()).toBeGreaterThan(20_000_000);
    link.close("too slow");
  });

  test("survives a reset: both the process and the reason", async () => {
    const { acceptor, port } = await peers();
    const reason = new Promise<string>((resolve) => {
      acceptor.onAccept((link) => {
        link.handlers = { frame: () => {}, closed: resolve };
      });
    });
    const socket = net.connect(port, "127.0.0.1", () => socket.write(upgradeRequest(peerPath, peerProtocol)));
    socket.once("data", () => socket.resetAndDestroy());
    expect(await reason).toMatch(/ECONNRESET|closed/);
  });

  test("of a transport that closes is told so, and the server can close", async () => {
    const { acceptor, port } = await peers();
    const accepted = new Promise<Link>((resolve) => acceptor.onAccept(resolve));
    const dialler = transport();
    const { link } = await dial(dialler, `127.0.0.1:${port}`);
    const mine = closed(link as Link);
    const theirs = closed(await accepted);
    acceptor.close();
    expect(await theirs).toBe("this node is stopping");
    expect(await mine).not.toBe("");
  });
});

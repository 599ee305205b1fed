import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import {
  clockConformance,
  fileStoreConformance,
  orderedStoreConformance,
  transportConformance,
  valuePackingConformance,
} from "@trivet/engine";
import type { TestApi } from "@trivet/engine";
import { afterEach, describe, expect, test } from "vitest";
import { NodeClock } from "../../src/adapters/clock.ts";
import { NodeFiles } from "../../src/adapters/files.ts";
import { LmdbStores } from "../../src/adapters/lmdb-stores.ts";
import { NodeTransport } from "../../src/adapters/transport.ts";
import { BrotliPacking } from "../../src/adapters/value-packing.ts";

const api: TestApi = {
  test: (name, body) => test(name, body),
  equal: (actual, expected) => expect(actual).toEqual(expected),
  ok: (condition, what) => expect(condition, what).toBe(true),
};

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

/** What the platform offers decides how a durable write is done; the way of the others is tested here as well. */
function filesOn(platform: string, root: string): NodeFiles {
  const real = Object.getOwnPropertyDescriptor(process, "platform");
  Object.defineProperty(process, "platform", { ...real, value: platform });
  try {
    return new NodeFiles(root);
  } finally {
    if (real !== undefined) Object.defineProperty(process, "platform", real);
  }
}

describe("BrotliPacking", () => {
  valuePackingConformance(api, () => new BrotliPacking());
});

describe.each(["linux", "darwin"])("NodeFiles as on %s", (platform) => {
  fileStoreConformance(api, () => {
    const root = mkdtempSync(path.join(tmpdir(), "trivet-files-"));
    const files = filesOn(platform, root);
    cleanups.push(() => {
      files.unlock();
      rmSync(root, { recursive: true });
    });
    return files;
  });
});

describe("LmdbStores", () => {
  orderedStoreConformance(api, () => {
    const root = mkdtempSync(path.join(tmpdir(), "trivet-lmdb-"));
    cleanups.push(() => rmSync(root, { recursive: true }));
    return {
      stores: new LmdbStores(root),
      damage: (store, _, value) => {
        const file = path.join(root, store, "data.mdb");
        const data = readFileSync(file);
        // Older pages have it as well.
        for (let at = data.indexOf(value); at >= 0; at = data.indexOf(value, at + 1)) data[at + 3] = (data[at + 3] ?? 0) ^ 4;
        writeFileSync(file, data);
      },
    };
  });
});

describe("NodeClock", () => {
  clockConformance(api, () => new NodeClock());
});

describe("NodeTransport on the API's server", () => {
  transportConformance(api, async () => {
    const dialler = new NodeTransport();
    const acceptor = new NodeTransport();
    const server = http.createServer();
    server.on("upgrade", (request, socket, head) => {
      if (!acceptor.handleUpgrade(request, socket, head)) socket.destroy();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    cleanups.push(() => {
      dialler.close();
      acceptor.close();
      server.close();
    });
    return { dialler, acceptor, address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, deadAddress: "127.0.0.1:1" };
  });
});

describe("NodeTransport on a listener of its own", () => {
  transportConformance(api, async () => {
    const dialler = new NodeTransport();
    const acceptor = new NodeTransport();
    const port = await new Promise<number>((resolve, reject) => {
      acceptor.listen("127.0.0.1", 0, (error, port) => (error === null ? resolve(port) : reject(error)));
    });
    cleanups.push(() => {
      dialler.close();
      acceptor.close();
    });
    return { dialler, acceptor, address: `127.0.0.1:${port}`, deadAddress: "http://127.0.0.1:1" };
  });
});

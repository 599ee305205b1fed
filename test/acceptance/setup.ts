import { rmSync } from "node:fs";
import { createServer } from "node:net";
import type { TestProject } from "vitest/node";
import { containersIn, copyOfCheckout, hasEngine } from "../support/containers.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Copy of the checkout for whatever runs in containers; empty without an engine. */
    readonly clone: string;
  }
}

/** Ports of the documents: containers are published on them, so nobody else may have them. */
const ports = [6379, 8001, 8002, 8003, 9090, 9101, 10_001];

let folder = "";

export async function setup(project: TestProject): Promise<void> {
  if (hasEngine) {
    for (const port of ports) await insistOnFree(port);
    folder = copyOfCheckout();
    // An image of another checkout may be there under the same name.
    await containersIn(folder).run("docker-compose -f docker/docker-compose.yml build node1");
  }
  project.provide("clone", folder);
}

export async function teardown(): Promise<void> {
  if (folder === "") return;
  await containersIn(folder).down();
  rmSync(folder, { recursive: true, force: true });
}

function insistOnFree(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error) => reject(new Error(`port ${port} is needed for containers: ${error.message}; stop what has it`)));
    probe.listen(port, "127.0.0.1", () => probe.close(() => resolve()));
  });
}

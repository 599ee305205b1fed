import { createHash, randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { AccessConfig } from "../../src/config/access.ts";
import { AccessControl } from "../../src/security/access-control.ts";
import { toolsFor, type Said } from "./certs.ts";

interface Key {
  readonly id: string;
  readonly name: string;
  readonly role: string;
  readonly sha256: string;
  readonly created: string;
  expires: string | null;
  revoked: string | null;
}

/** An ACCESS_FILE of a test's own, and the access control that reads it. */
export class TestAccess {
  readonly said: Said = { lines: [], counted: [] };
  readonly keys: Key[] = [];
  readonly roles: Record<string, unknown> = {
    billing: [
      { verbs: ["read", "write"], resource: "locks", prefix: "orders/" },
      { verbs: ["read", "write"], resource: "queues", prefix: "billing" },
      { verbs: ["read", "write"], resource: "cache", prefix: "billing" },
    ],
  };
  readonly path: string;
  /** Wall time of the access control. */
  now: () => number = () => Date.now();
  private readonly folder = mkdtempSync(join(tmpdir(), "trivet-access-"));

  constructor() {
    this.path = join(this.folder, "access.json");
  }

  /** Adds a key and gives its text. */
  add(name: string, role: string): string {
    const id = `k${this.keys.length}key`;
    const secret = randomBytes(32).toString("base64url");
    this.keys.push({
      id,
      name,
      role,
      sha256: createHash("sha256").update(secret).digest("hex"),
      created: "2026-01-01",
      expires: null,
      revoked: null,
    });
    this.write();
    return `tvt_${id}_${secret}`;
  }

  write(text: string = JSON.stringify({ version: 1, roles: this.roles, keys: this.keys })): void {
    writeFileSync(this.path, text);
  }

  open(config: Partial<AccessConfig> = {}): AccessControl {
    return new AccessControl({ file: this.path, keys: [], jwt: null, ...config }, { ...toolsFor(this.said), wallNow: () => this.now() });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

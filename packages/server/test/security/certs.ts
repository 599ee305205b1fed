import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initAuthority, openAuthority } from "../../../cli/src/certificates/authority.ts";
import { openFolder, type CertFolder } from "../../../cli/src/certificates/files.ts";
import { issue, type Wanted } from "../../../cli/src/certificates/issue.ts";
import type { TlsConfig } from "../../src/config/tls.ts";
import { NodeTls, type NodeTlsTools } from "../../src/security/node-tls.ts";

/** An authority in a folder of its own, made as `trivet cert init` makes it. */
export interface TestAuthority {
  readonly folder: CertFolder;
  readonly ca: string;
  issue(name: string, more?: Partial<Wanted>): Promise<void>;
  /** The files of `name`. */
  files(name: string): TlsConfig;
  remove(): void;
}

export async function makeAuthority(): Promise<TestAuthority> {
  const path = mkdtempSync(join(tmpdir(), "trivet-certs-"));
  const folder = openFolder(path);
  await initAuthority(folder, 30, false);
  const authority = await openAuthority(folder);
  return {
    folder,
    ca: folder.read("ca.crt"),
    issue: async (name, more = {}) => {
      await issue(folder, authority, { name, kind: "node", hosts: [], days: 20, renew: true, ...more });
    },
    files: (name) => ({
      clients: "anyone",
      certFile: folder.file(`${name}.crt`),
      keyFile: folder.file(`${name}.key`),
      caFile: folder.file("ca.crt"),
    }),
    remove: () => rmSync(path, { recursive: true, force: true }),
  };
}

/** What a NodeTls said, in words. */
export interface Said {
  readonly lines: string[];
  readonly counted: string[];
}
export function toolsFor(said: Said): NodeTlsTools {
  return {
    log: (level, event, text) => void said.lines.push(`${level} ${event} ${text}`),
    count: (name, _by, labels = {}) => void said.counted.push([name, ...Object.values(labels)].join(" ")),
    wallNow: () => Date.now(),
  };
}

export function tlsOf(config: TlsConfig, node: string, said: Said = { lines: [], counted: [] }): NodeTls {
  return new NodeTls(config, node, toolsFor(said));
}

import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/** Folder of the peers' own package, with its own lockfile. Its modules are not dependencies of this workspace. */
export const peersFolder: string = fileURLToPath(new URL("../../peers/", import.meta.url));

/** Loads a module that lies in the peers' folder. The caller describes the few members it uses by a type of its own. */
export function requirePeer(name: string): unknown {
  return createRequire(`${peersFolder}package.json`)(name);
}

/** As its manifest says; null = it is not installed. */
export function peerModuleVersion(name: string): string | null {
  const folders = createRequire(`${peersFolder}package.json`).resolve.paths(name) ?? [];
  const manifest = folders.map((folder) => `${folder}/${name}/package.json`).find(existsSync);
  if (manifest === undefined) return null;
  return (JSON.parse(readFileSync(manifest, "utf8")) as { readonly version: string }).version;
}

/** Whether the peers' modules are installed. */
export function hasPeerModule(name: string): boolean {
  try {
    createRequire(`${peersFolder}package.json`).resolve(name);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND") return false;
    throw error;
  }
}

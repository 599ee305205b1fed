import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/** Folder of the peers' own package, with its own lockfile. Its modules are not dependencies of this workspace. */
export const peersFolder: string = fileURLToPath(new URL("../../peers/", import.meta.url));

/** Loads a module that lies in the peers' folder. The caller describes the few members it uses by a type of its own. */
export function requirePeer(name: string): unknown {
  return createRequire(`${peersFolder}package.json`)(name);
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

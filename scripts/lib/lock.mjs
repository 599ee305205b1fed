// A lock between processes of one checkout, made of one directory: `mkdir` is atomic everywhere.
// Needed because three terminals may run `npm start` at once, and two compilers writing one `dist` sometimes fail.
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { join } from "node:path";
import { say } from "./say.mjs";

// Time between mkdir and the owner's name appearing inside; longer means its creator died in between.
const unnamedGraceMs = 5_000;

/** Runs `work` while holding `directory`. Waits for a living holder, takes the lock over from a dead one. */
export async function withLock(directory, what, work) {
  let told = false;
  while (!tryTake(directory)) {
    const holder = holderOf(directory);
    if (holder.stale) {
      takeAway(directory);
      continue;
    }
    if (!told) say(`Another process (${holder.name}) ${what}; waiting for it.`);
    told = true;
    await pause(100);
  }
  try {
    return await work();
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function tryTake(directory) {
  try {
    mkdirSync(directory);
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  }
  writeFileSync(join(directory, "pid"), String(process.pid));
  return true;
}

function holderOf(directory) {
  try {
    const pid = Number(readFileSync(join(directory, "pid"), "utf8"));
    if (pid > 0) return { name: `pid ${pid}`, stale: !isAlive(pid) };
    return { name: "just starting", stale: false };
  } catch {
    try {
      return { name: "just starting", stale: Date.now() - statSync(directory).mtimeMs > unnamedGraceMs };
    } catch {
      return { name: "gone", stale: false };
    }
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === "EPERM";
  }
}

// Renaming first: of several waiters that saw the same dead holder, one wins and nobody removes a fresh lock.
function takeAway(directory) {
  const grave = `${directory}.stale.${process.pid}`;
  try {
    renameSync(directory, grave);
    rmSync(grave, { recursive: true, force: true });
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
}

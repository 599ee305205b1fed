import { spawn } from "node:child_process";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";

/** Thrown, or rather handed over, when somebody else has the directory. */
export class DirectoryLocked extends Error {
  constructor(detail: string) {
    super(detail);
    this.name = "DirectoryLocked";
  }
}

/**
 * The exclusive lock of a data directory. It must vanish with the process, however that dies, so a file with a process id will not do:
 * ids are reused, and mean nothing in another container. Node has no flock(2), and a native module is more than this is worth. Two
 * locks of the kernel are taken, both released at process death and so never stale:
 *
 * 1. A Unix socket bound to a name made of the directory's device and inode: atomic and always there. On Linux the name is abstract
 *    and holds within one network namespace; elsewhere it is a path in the temporary directory, tested by connecting.
 * 2. flock(2) on the lock file, taken by the `flock` program on a descriptor it inherits: the lock belongs to the open file, which
 *    stays open here after the program has ended. It also holds between containers that share the directory. Where the program is
 *    missing, the socket alone protects.
 *
 * The lock file's text tells people who has the directory; nothing trusts it.
 */
export class DirectoryLock {
  private readonly server: net.Server;
  private readonly descriptor: number;

  private constructor(server: net.Server, descriptor: number) {
    this.server = server;
    this.descriptor = descriptor;
  }

  static take(file: string, done: (error: Error | null, lock: DirectoryLock | null) => void): void {
    fs.open(file, fs.constants.O_RDWR | fs.constants.O_CREAT, 0o600, (error, descriptor) => {
      if (error !== null) return done(error, null);
      const refuse = (error: Error): void => fs.close(descriptor, () => done(error, null));
      fs.stat(path.dirname(file), (error, directory) => {
        if (error !== null) return refuse(error);
        bindSocket(`trivet-${directory.dev}-${directory.ino}`, (error, server) => {
          if (server === null) return refuse(error ?? heldBy(descriptor, file));
          lockFile(descriptor, (error, locked) => {
            if (!locked) return server.close(() => refuse(error ?? heldBy(descriptor, file)));
            fs.ftruncate(descriptor, 0, () => {
              const text = JSON.stringify({ pid: process.pid, host: os.hostname(), since: new Date().toISOString() });
              fs.write(descriptor, `${text}\n`, 0, () => done(null, new DirectoryLock(server, descriptor)));
            });
          });
        });
      });
    });
  }

  release(): void {
    this.server.close();
    fs.closeSync(this.descriptor);
  }
}

function heldBy(descriptor: number, file: string): DirectoryLocked {
  let holder = "";
  try {
    const buffer = Buffer.alloc(512);
    holder = nameOf(buffer.toString("utf8", 0, fs.readSync(descriptor, buffer, 0, buffer.length, 0)).trim());
  } catch (error) {
    holder = `it cannot be read which: ${error instanceof Error ? error.message : String(error)}`;
  }
  return new DirectoryLocked(`${path.dirname(file)} is in use by another process (${holder}); two nodes cannot share a data directory`);
}

/** What the lock file says, for people. */
function nameOf(text: string): string {
  if (text === "") return "it is just starting";
  const { pid, host, since } = JSON.parse(text) as Readonly<Record<string, unknown>>;
  return `pid ${String(pid)} on ${String(host)} since ${String(since)}`;
}

/** Gives the bound server; null without an error = somebody has the name. */
function bindSocket(name: string, done: (error: Error | null, server: net.Server | null) => void): void {
  const abstract = process.platform === "linux";
  const address = abstract ? `\0${name}` : path.join(os.tmpdir(), `${name}.lock`);
  const server = net.createServer((socket) => socket.destroy());
  server.unref();
  server.once("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EADDRINUSE") return done(error, null);
    if (abstract) return done(null, null);
    // A path survives its process. Nobody answers on a stale one.
    const probe = net.connect(address);
    probe.once("connect", () => {
      probe.destroy();
      done(null, null);
    });
    probe.once("error", () => fs.unlink(address, () => bindSocket(name, done)));
  });
  server.listen({ path: address, exclusive: true }, () => done(null, server));
}

/** What util-linux and BusyBox say when somebody else has the lock. */
const taken = 1;

/** True when this process' open file has the lock now, or when there is no program to take it with. */
function lockFile(descriptor: number, done: (error: Error | null, locked: boolean) => void): void {
  let answered = false;
  const answer = (error: Error | null, locked: boolean): void => {
    if (answered) return;
    answered = true;
    done(error, locked);
  };
  const program = spawn("flock", ["-x", "-n", "3"], {
    stdio: ["ignore", "ignore", "ignore", descriptor],
  });
  program.once("error", (error: NodeJS.ErrnoException) => (error.code === "ENOENT" ? answer(null, true) : answer(error, false)));
  program.once("exit", (code, signal) => {
    if (code === 0) answer(null, true);
    else if (code === taken) answer(null, false);
    else answer(new Error(`flock ended with ${code ?? signal}`), false);
  });
}

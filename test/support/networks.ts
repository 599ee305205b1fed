import { spawnSync } from "node:child_process";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { freePorts, start, type Started } from "./processes.ts";
import { ready, waitFor } from "./wait.ts";

const holderScript = fileURLToPath(new URL("network-holder.mjs", import.meta.url));
const insidePort = 8_000;

/**
 * Can this machine give processes networks of their own, and drop packets between them? Tried in a namespace that is gone afterwards;
 * tests that need it are skipped, and counted, where it cannot.
 */
export const canPartition: boolean =
  process.getuid?.() === 0 &&
  spawnSync("unshare", ["--net", "sh", "-c", "ip link add probe0 type veth peer name probe1 && nft add table inet probe"]).status === 0;

/** One machine of a test, as far as the network goes. */
export interface TestHost {
  readonly address: string;
  /** Where a node there listens, as the other hosts know it. */
  readonly url: string;
  /** Where the test, which is outside, reaches that node: this way is never cut. */
  readonly outsidePort: number;
  /** The command line that runs `program` there, under its own process id. */
  inside(program: string, args: readonly string[]): readonly [program: string, args: readonly string[]];
}

/** Hosts on one switch, in network namespaces that end with their processes: nothing of it is seen or left behind on the machine. */
export interface TestNetwork {
  readonly hosts: readonly TestHost[];
  /** Packets from one to the other vanish, as in a switch that fails; the way back stays. */
  cut(from: TestHost, to: TestHost): void;
  /** Only attempts at new connections vanish; those that are open live on. */
  cutDials(from: TestHost, to: TestHost): void;
  /** Both directions between every host here and every host there. */
  split(here: readonly TestHost[], there: readonly TestHost[]): void;
  heal(): void;
  destroy(): Promise<void>;
}

interface Host extends TestHost {
  readonly holder: Started;
  readonly relay: Server;
  readonly calls: Set<Socket>;
}

/** `folder` takes the sockets through which calls reach the hosts. */
export async function createNetwork(folder: string, count: number): Promise<TestNetwork> {
  const holders: Started[] = [];
  const hosts: Host[] = [];
  const destroy = async (): Promise<void> => {
    for (const { relay, calls } of hosts) {
      for (const socket of calls) socket.destroy();
      await new Promise((resolve) => relay.close(resolve));
    }
    for (const holder of holders) holder.signal("SIGKILL");
    await Promise.all(holders.map((holder) => holder.exited));
  };
  try {
    const outside = await freePorts(count);
    const bridge = await hold(holders, folder, []);
    within(bridge, "ip link add switch type bridge && ip link set switch up");
    for (const [index, outsidePort] of outside.entries()) {
      const address = `10.77.0.${index + 1}`;
      const socket = join(folder, `host${index + 1}.socket`);
      const holder = await hold(holders, folder, [socket, address, String(insidePort)]);
      command("ip", [
        "link",
        "add",
        `port${index + 1}`,
        "netns",
        String(bridge.pid),
        "type",
        "veth",
        "peer",
        "eth0",
        "netns",
        String(holder.pid),
      ]);
      within(bridge, `ip link set port${index + 1} master switch up`);
      within(holder, `ip link set lo up && ip addr add ${address}/24 dev eth0 && ip link set eth0 up`);
      within(holder, "nft add table inet cuts && nft 'add chain inet cuts input { type filter hook input priority 0; }'");
      hosts.push(await connectHost(holder, address, socket, outsidePort));
    }
  } catch (error) {
    await destroy();
    throw error;
  }
  const holderOf = (host: TestHost): Started => {
    const found = hosts.find((candidate) => candidate === host);
    if (!found) throw new Error(`${host.address} is not in this network`);
    return found.holder;
  };
  const drop = (from: TestHost, to: TestHost, which: string): void =>
    within(holderOf(to), `nft 'add rule inet cuts input ip saddr ${from.address} ${which} counter drop'`);
  const cut = (from: TestHost, to: TestHost): void => drop(from, to, "");
  return {
    hosts,
    cut,
    cutDials: (from, to) => drop(from, to, "tcp flags & (syn | ack) == syn"),
    split: (here, there) => {
      for (const a of here) {
        for (const b of there) {
          cut(a, b);
          cut(b, a);
        }
      }
    },
    heal: () => hosts.forEach(({ holder }) => within(holder, "nft flush chain inet cuts input")),
    destroy,
  };
}

/** A process in a new network namespace, which holds it. */
async function hold(holders: Started[], folder: string, args: readonly string[]): Promise<Started> {
  const holder = start("unshare", ["--net", process.execPath, holderScript, ...args], { cwd: folder, endsWithUs: true });
  holders.push(holder);
  await waitFor("a network namespace", () => {
    if (holder.hasExited()) throw new Error(`its holder ended: ${holder.output()}`);
    return holder.output().includes("ready") ? ready(true) : "its holder starts";
  });
  return holder;
}

async function connectHost(holder: Started, address: string, socket: string, outsidePort: number): Promise<Host> {
  const calls = new Set<Socket>();
  const relay = createServer({ allowHalfOpen: true }, (caller) => {
    const inner = connect({ path: socket, allowHalfOpen: true });
    for (const [from, to] of [
      [caller, inner],
      [inner, caller],
    ] as const) {
      calls.add(from);
      from.pipe(to);
      // An end that fails ends the other: the caller sees a closed connection, as it would without us.
      from.on("error", () => to.destroy());
      from.on("close", () => {
        calls.delete(from);
        to.destroy();
      });
    }
  });
  await new Promise<void>((resolve, reject) => relay.once("error", reject).listen(outsidePort, "127.0.0.1", resolve));
  return {
    address,
    url: `http://${address}:${insidePort}`,
    outsidePort,
    inside: (program, args) => ["nsenter", [`--net=/proc/${holder.pid}/ns/net`, program, ...args]],
    holder,
    relay,
    calls,
  };
}

function within(holder: Started, script: string): void {
  command("nsenter", [`--net=/proc/${holder.pid}/ns/net`, "sh", "-c", script]);
}

function command(program: string, args: readonly string[]): void {
  const done = spawnSync(program, args, { encoding: "utf8" });
  if (done.status !== 0) throw new Error(`${program} ${args.join(" ")}: ${done.error?.message ?? done.stderr}`);
}

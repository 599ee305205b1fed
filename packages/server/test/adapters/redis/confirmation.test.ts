import { expect, test } from "vitest";
import { Confirmations } from "../../../src/adapters/redis/confirmation.ts";
import type { RedisLink, Sender } from "../../../src/adapters/redis/link.ts";

/** A connection that answers everything but, for as long as it is not told to, WAIT. */
function connection(name: string, sent: string[]) {
  const held: (() => void)[] = [];
  const sender: Sender = {
    send: (args) => {
      sent.push(`${name} ${args.join(" ")}`);
      return new Promise((resolve) => (args[0] === "WAIT" ? held.push(() => resolve(1)) : resolve("OK")));
    },
  };
  return { sender, held, release: (): void => held.splice(0).forEach((told) => told()) };
}
function confirmed(link: Pick<RedisLink, "pinned">) {
  const writes = new Confirmations(
    () => ({ ...link, send: () => Promise.reject(new Error("nothing moves here")), close: async () => undefined }),
    () => undefined,
  ).of("replicas:1");
  if (writes === null) throw new Error("replicas:1 is confirmed");
  return (route: string, text: string) => writes.write(route, (send) => send([text]));
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("a node that does not confirm holds up no produce to another", async () => {
  const sent: string[] = [];
  const [slow, quick] = [connection("slow", sent), connection("quick", sent)];
  const write = confirmed({ pinned: async (route) => (route === "a" ? slow : quick).sender });
  const waiting = write("a", "1");
  await turn();
  for (const text of ["2", "3"]) {
    const done = write("b", text);
    await turn();
    quick.release();
    expect(await done).toEqual({ reply: "OK", durability: "replicas:1" });
  }
  // Of one connection those that come meanwhile are confirmed as one.
  const others = [write("a", "4"), write("a", "5")];
  await turn();
  expect(sent.filter((line) => line.startsWith("slow"))).toEqual(["slow 1", "slow WAIT 1 1000"]);
  slow.release();
  await waiting;
  await turn();
  slow.release();
  await Promise.all(others);
  expect(sent.filter((line) => line.startsWith("slow"))).toEqual(["slow 1", "slow WAIT 1 1000", "slow 4", "slow 5", "slow WAIT 1 1000"]);
});

test("writes to one partition keep their order while their connection is only being made", async () => {
  const sent: string[] = [];
  const { release, sender } = connection("node", sent);
  const connecting: (() => void)[] = [];
  let isConnected = false;
  const write = confirmed({
    pinned: async () => {
      if (!isConnected) await new Promise<void>((resolve) => void connecting.push(resolve));
      return sender;
    },
  });
  const writes = [write("a", "1"), write("a", "2")];
  await turn();
  isConnected = true;
  for (const told of connecting) told();
  writes.push(write("a", "3"));
  await turn();
  release();
  await turn();
  release();
  await Promise.all(writes);
  expect(sent.filter((line) => !line.includes("WAIT"))).toEqual(["node 1", "node 2", "node 3"]);
});

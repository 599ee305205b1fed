import type { StorageReply } from "@trivet/engine";
import { expect, test } from "vitest";
import { Told } from "../hosts/cluster.ts";
import { withMessage } from "./support.ts";

test("a query under way at a replica that is given away is answered", () => {
  const { cluster, group, shards } = withMessage();
  const { host } = cluster.member("n2");
  const told = Array.from({ length: 40 }, () => new Told<StorageReply>());
  const replica = host.shards?.replica(group);
  if (replica === null || replica === undefined) throw new Error("no replica");
  // One that has its barrier and waits for the worker.
  let asked = false;
  const { machine } = replica;
  const ask = machine.ask.bind(machine);
  machine.ask = (request, done) => {
    ask(request, done);
    if (request.type === "query" && !asked) {
      asked = true;
      host.shards?.give(replica);
    }
  };
  for (const one of told) host.queueStorage.query({ type: "stats", queue: shards.queue, partition: 0 }, 5_000, one.hear);
  const last = new Told<StorageReply>();
  host.queueStorage.query({ type: "stats", queue: shards.queue, partition: 0 }, 5_000, last.hear);
  cluster.run(30_000);
  expect(asked).toBe(true);
  expect([...told, last].filter(({ value }) => value === null)).toHaveLength(0);
});

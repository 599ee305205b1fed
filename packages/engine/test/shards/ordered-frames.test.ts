import { groupId } from "@trivet/core";
import { CommandFrameBuilder, decodeShardAnswer, featureLevels, newestLevel } from "@trivet/wire";
import { expect, test } from "vitest";
import { Cluster } from "../hosts/cluster.ts";
import { guard } from "../hosts/guard.ts";
import { message } from "./support.ts";

const urls = ["http://n1", "http://n2", "http://n3"];
const caller = "lane";

/** What a shard answers to the second command of an ordered producer of which nobody has seen the first, in a cluster whose third node knows that level. */
function answerToGap(featureLevel: number): unknown {
  const cluster = new Cluster();
  cluster.withShards = true;
  for (const [at, url] of urls.entries()) cluster.add(`n${at + 1}`, url, { peers: urls, shards: 2, ...(at === 2 ? { featureLevel } : {}) });
  cluster.untilReady();
  const { host } = cluster.member("n1");
  cluster.until("the level", () => [...cluster.members.values()].every((member) => member.host.machine?.features.told === featureLevel));
  cluster.until("a leader of the shard", () => (host.shards?.entry(groupId(1))?.leader() ?? null) !== null, 60_000);
  const builder = new CommandFrameBuilder();
  builder.begin(caller, "", host.groupTime.now() + 20_000, 0, 2);
  builder.add({ type: "produce", queue: 7, partition: 0, version: 1, messages: [message("second")], ifFence: null });
  builder.ordered = true;
  const answers: unknown[] = [];
  host.api.shards.route(1, caller, {
    answer: (_sequence, bytes) => void answers.push(decodeShardAnswer(bytes)),
    flush: () => undefined,
    refused: (_first, _count, reason) => void answers.push(reason),
  });
  const refused = host.api.shards.submitFrame(1, builder.finish());
  if (refused !== null) return refused;
  cluster.until("an answer", () => answers.length > 0, 20_000);
  return answers[0];
}

test("an ordered command whose predecessor is missing is refused", () => {
  expect(answerToGap(newestLevel)).toEqual({ type: "refused", reason: "out-of-order" });
});

guard("host-order-not-asked", "while a member knows of no order, ordered frames are taken as they were before there was any", () => {
  expect(answerToGap(featureLevels.packing)).toMatchObject({ type: "not-configured", queue: 7 });
});

import { type GroupId, groupId, nodeId } from "@trivet/core";
import { ByteWriter } from "@trivet/wire";
import { describe, expect, test } from "vitest";
import { decodePeerFrame, beginBatch, type PeerMessage, writePeerMessage } from "../../src/peers/peer-frames.ts";
import { readsTracesMethod } from "../../src/peers/traced-peers.ts";
import { callersTrace, MemorySpans } from "../memory-spans.ts";
import { Shards } from "../shards/support.ts";
import { acquire, type Member, Told } from "./cluster.ts";
import { guard } from "./guard.ts";

/** Three nodes that trace, but for those in `silent`, and one queue. */
class Traced extends Shards {
  readonly spans: ReadonlyMap<string, MemorySpans>;

  constructor(...silent: readonly string[]) {
    const spans = new Map(["n1", "n2", "n3"].map((node, at) => [node, new MemorySpans(at + 1)]));
    super(3, {}, undefined, (node) => (silent.includes(node) ? null : (spans.get(node) ?? null)));
    this.spans = spans;
    this.untilLed();
    this.define("orders");
    this.produce("n1", "first");
  }

  of(node: string): MemorySpans {
    const spans = this.spans.get(node);
    if (spans === undefined) throw new Error(`no node ${node}`);
    return spans;
  }

  /** The shard that keeps the queue's messages. */
  get group(): GroupId {
    return groupId(1 + (this.queue % 4));
  }

  get leader(): string {
    return this.leaders()[this.group - 1] ?? "";
  }

  get follower(): string {
    return [...this.spans.keys()].find((node) => node !== this.leader) ?? "";
  }

  /** A message that is produced at the node, as a part of the caller's trace. */
  produceTraced(node: string, body: string): void {
    const message = {
      key: "",
      body: new TextEncoder().encode(body),
      headers: [],
      priority: 0,
      delayMs: 0,
      dueAt: 0,
      ttlMs: 0,
      dedupId: "",
    };
    const command = { type: "produce", queue: this.queue, partition: 0, version: 1, messages: [message], ifFence: null } as const;
    const told = this.of(node).within(callersTrace, () => this.begin(node, command));
    this.cluster.until(`${body} is produced`, () => told.value !== null);
    expect(told.value).toMatchObject({ type: "answered", result: { type: "produced" } });
  }

  commits(node: string): readonly { readonly parent: string; readonly traceId: string }[] {
    return this.of(node)
      .named("log.commit")
      .map(({ parent, trace }) => ({ parent, traceId: trace.traceId }));
  }
}

const traced = { parent: callersTrace.spanId, traceId: callersTrace.traceId };

/** What comes to the node from others, and how it answers whether it reads traces. */
function old(member: Member): { readonly seen: PeerMessage[]; asked: number } {
  const heard = { seen: [] as PeerMessage[], asked: 0 };
  const { peering } = member.host;
  const batch = peering.batch.bind(peering);
  peering.batch = (from, hello, groupTime, messages) => {
    heard.seen.push(...messages);
    batch(from, hello, groupTime, messages);
  };
  const onCall = peering.calls.onCall.bind(peering.calls);
  peering.calls.onCall = (from, id, method, json) => {
    if (method === readsTracesMethod) heard.asked++;
    // As a version that has never heard of it.
    onCall(from, id, method === readsTracesMethod ? "no-such-method" : method, json);
  };
  return heard;
}

describe("the trace of a frame", () => {
  test("goes with it to the leader at another node, whose log is a part of it", () => {
    const shards = new Traced();
    shards.cluster.run(2_000);
    shards.produceTraced(shards.follower, "m");
    expect(shards.commits(shards.leader)).toEqual([traced]);
    // The commands of a turn share a frame; its place in the log is of the first of them.
    shards.produceTraced(shards.leader, "n");
    expect(shards.commits(shards.leader)).toEqual([traced, traced]);
    expect(shards.commits(shards.follower)).toEqual([]);
  });

  test("that is not recorded takes the place of none that is", () => {
    const shards = new Traced();
    shards.cluster.run(2_000);
    const { follower: node, leader } = shards;
    const spans = shards.of(node);
    const group = (name: string) =>
      ({ type: "create-group", queue: shards.queue, partition: 0, group: name, start: { type: "earliest" } }) as const;
    const told = [
      spans.within({ ...callersTrace, flags: 0 }, () => shards.begin(node, group("a"))),
      spans.within(callersTrace, () => shards.begin(node, group("b"))),
    ];
    shards.cluster.until("both are answered", () => told.every(({ value }) => value !== null));
    expect(shards.commits(leader)).toEqual([traced]);
  });

  test("of group 0 does the same", () => {
    const shards = new Traced();
    const { cluster } = shards;
    cluster.run(2_000);
    const { leader, followers } = cluster.roles();
    const { node } = followers[0].config;
    const told = shards.of(node).within(callersTrace, () => cluster.begin(node, acquire("a", "alice"), { timeoutMs: 5_000 }));
    cluster.until("it is granted", () => told.value !== null);
    expect(shards.commits(leader.config.node)).toContainEqual(traced);
  });

  test("is not that of others in the same turn, and those of no trace have none", () => {
    const shards = new Traced();
    shards.cluster.run(2_000);
    const { follower: node, leader } = shards;
    const other = { ...callersTrace, traceId: "11111111111111111111111111111111" };
    const spans = shards.of(node);
    const told = [
      spans.within(callersTrace, () => shards.cluster.begin(node, acquire("a", "alice"), { timeoutMs: 5_000 })),
      spans.within(other, () =>
        shards.begin(node, { type: "create-group", queue: shards.queue, partition: 0, group: "g", start: { type: "earliest" } }),
      ),
    ];
    shards.cluster.until("both are answered", () => told.every(({ value }) => value !== null));
    expect(shards.commits(leader)).toContainEqual({ ...traced, traceId: other.traceId });
    const before = shards.commits(leader).length;
    shards.produce(node, "untraced");
    expect(shards.commits(leader)).toHaveLength(before);
  });

  test("does not disturb a node that traces nothing", () => {
    const shards = new Traced("n1", "n2");
    shards.cluster.run(2_000);
    const { node } = shards.cluster.member("n3").host.config;
    shards.produceTraced(node, "m");
    expect(shards.of("n1").ended).toEqual([]);
    expect(shards.of("n2").ended).toEqual([]);
  });
});

guard("host-traced-unasked", "no trace goes to a node that does not say it reads them: its link would end", () => {
  const shards = new Traced();
  const { cluster } = shards;
  cluster.kill("n3");
  cluster.run(2_000);
  cluster.restart("n3");
  const heard = old(cluster.member("n3"));
  cluster.untilReady();
  cluster.run(2_000);
  const told = new Told<unknown>();
  const { calls } = cluster.member("n1").host;
  shards.of("n1").within(callersTrace, () => calls.call(nodeId("n3"), "probe", null, told.hear));
  cluster.until("it is answered", () => told.value !== null);
  expect(told.value).toBe(true);
  expect(heard.asked).toBeGreaterThan(0);
  expect(heard.seen.filter(({ type }) => type === "traced")).toEqual([]);
});

const written = (write: (writer: ByteWriter) => void): Uint8Array => {
  const writer = new ByteWriter();
  beginBatch(writer, 7);
  write(writer);
  return writer.finish();
};
const never = (): never => {
  throw new Error("it was asked");
};

test("a node is asked once, and again when it is another process", () => {
  const shards = new Traced();
  const { cluster } = shards;
  cluster.run(2_000);
  const { follower, leader } = shards;
  const calls = cluster.member(follower).host.peering.calls;
  const asked: string[] = [];
  const call = calls.call.bind(calls);
  calls.call = (to, method, body, done, timeoutMs) => {
    if (method === readsTracesMethod) asked.push(to);
    call(to, method, body, done, timeoutMs);
  };
  cluster.run(60_000);
  expect(asked).toEqual([]);
  cluster.kill(leader);
  cluster.run(2_000);
  cluster.restart(leader);
  cluster.untilReady();
  cluster.run(2_000);
  expect(asked).toEqual([leader]);
});

test("a traced message comes back as it went, under one trace alone", () => {
  const message: PeerMessage = {
    type: "traced",
    trace: { ...callersTrace, state: "vendor=1" },
    message: { type: "forward", group: groupId(3), frame: new Uint8Array([1, 2, 3]) },
  };
  const [from, to] = [nodeId("n1"), nodeId("n2")];
  expect(
    decodePeerFrame(
      written((writer) => writePeerMessage(writer, message)),
      from,
      to,
    ),
  ).toEqual({
    type: "batch",
    groupTime: 7,
    messages: [message],
  });
  const twice = written((writer) => writePeerMessage(writer, { ...message, message: message as never }));
  expect(() => decodePeerFrame(twice, from, to)).toThrow(RangeError);
});

test("where nothing is recorded nothing is asked of the port but whether something is", () => {
  const shards = new Traced();
  for (const spans of shards.spans.values()) Object.assign(spans, { isOn: false, current: never, begin: never, within: never });
  shards.produce("n1", "a");
  shards.produce("n2", "b");
  expect(shards.consume("n3")).toHaveLength(3);
  expect([...shards.cluster.members.values()].map(({ failure }) => failure)).toEqual([null, null, null]);
});

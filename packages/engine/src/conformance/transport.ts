import type { Link, Transport } from "../ports/transport.ts";
import { pattern } from "./api.ts";
import type { TestApi } from "./api.ts";

export interface TransportPair {
  readonly dialler: Transport;
  readonly acceptor: Transport;
  /** Where `acceptor` is reached. */
  readonly address: string;
  /** Where nobody is. */
  readonly deadAddress: string;
}

/** Collects what arrives on a link. */
class Ear {
  readonly link: Link;
  readonly frames: Uint8Array[] = [];
  readonly closedReasons: string[] = [];
  private waiting: (() => void)[] = [];

  constructor(link: Link) {
    this.link = link;
    link.handlers = {
      frame: (bytes) => {
        this.frames.push(new Uint8Array(bytes));
        this.wake();
      },
      closed: (reason) => {
        this.closedReasons.push(reason);
        this.wake();
      },
    };
  }

  async until(condition: (ear: Ear) => boolean): Promise<void> {
    while (!condition(this)) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    const { waiting } = this;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** What every Transport must do. */
export function transportConformance(api: TestApi, make: () => Promise<TransportPair>): void {
  const { test, equal, ok } = api;

  const connect = async (greeting: Uint8Array | null = null): Promise<{ mine: Ear; theirs: Ear }> => {
    const { dialler, acceptor, address } = await make();
    const accepted = new Promise<Ear>((resolve) => {
      acceptor.onAccept((link) => {
        const ear = new Ear(link);
        if (greeting !== null) link.send([greeting]);
        resolve(ear);
      });
    });
    const mine = await new Promise<Ear>((resolve, reject) => {
      dialler.dial(address, (link, reason) => (link === null ? reject(new Error(reason)) : resolve(new Ear(link))));
    });
    return { mine, theirs: await accepted };
  };

  test("frames arrive whole, in order, in both directions", async () => {
    const { mine, theirs } = await connect(pattern(3, 9));
    const frames = [pattern(1), new Uint8Array(0), pattern(1_000_000), pattern(5, 2)];
    for (const frame of frames) mine.link.send([frame]);
    mine.link.send([pattern(2), new Uint8Array(0), pattern(3, 4)]);
    theirs.link.send([pattern(70_000, 3)]);
    await theirs.until(({ frames }) => frames.length === 5);
    await mine.until(({ frames }) => frames.length === 2);
    equal(
      theirs.frames.map((frame) => frame.length),
      [1, 0, 1_000_000, 5, 5],
    );
    ok(
      pattern(1_000_000).every((byte, i) => theirs.frames[2]?.[i] === byte),
      "the large frame is whole",
    );
    equal([...(theirs.frames[4] ?? [])], [...pattern(2), ...pattern(3, 4)]);
    equal([...(mine.frames[0] ?? [])], [...pattern(3, 9)]);
    equal(mine.frames[1]?.length, 70_000);
    ok(mine.link.remote.length > 0 && mine.link.loopback, "the far end is named, and on this machine");
    mine.link.close("done");
  });

  test("thousands of small frames keep their order, and leave nothing buffered", async () => {
    const { mine, theirs } = await connect();
    for (let i = 0; i < 5000; i++) mine.link.send([Uint8Array.of(i & 0xff, i >>> 8)]);
    ok(mine.link.bufferedBytes() > 0, "counted while it waits");
    await theirs.until(({ frames }) => frames.length === 5000);
    ok(
      theirs.frames.every((frame, i) => frame[0] === (i & 0xff) && frame[1] === i >>> 8),
      "in order",
    );
    theirs.link.send([Uint8Array.of(1)]);
    await mine.until(({ frames }) => frames.length === 1);
    equal(mine.link.bufferedBytes(), 0);
    mine.link.close("done");
  });

  test("close delivers what was sent before, and tells each end once", async () => {
    const { mine, theirs } = await connect();
    mine.link.send([pattern(100_000)]);
    mine.link.close("enough");
    equal(mine.closedReasons, []);
    mine.link.close("again");
    mine.link.send([pattern(1)]);
    await mine.until(({ closedReasons }) => closedReasons.length === 1);
    await theirs.until(({ closedReasons }) => closedReasons.length === 1);
    equal(mine.closedReasons, ["enough"]);
    equal(
      theirs.frames.map((frame) => frame.length),
      [100_000],
    );
    ok((theirs.closedReasons[0] ?? "").length > 0, "a reason is given");
  });

  test("nobody there: a reason, and no link", async () => {
    const { dialler, deadAddress } = await make();
    let synchronous = true;
    const reason = await new Promise<string>((resolve) => {
      dialler.dial(deadAddress, (link, reason) => {
        equal(link, null);
        ok(!synchronous, "not answered synchronously");
        resolve(reason);
      });
      synchronous = false;
    });
    ok(reason.includes("refused"), `it says why: ${reason}`);
  });
}

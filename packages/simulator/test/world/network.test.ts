import { Prng } from "@trivet/core";
import { type Link, MemoryClock } from "@trivet/engine";
import { describe, expect, test } from "vitest";

import { SimNetwork } from "../../src/world/network.ts";
import { Totals } from "../../src/world/totals.ts";

/** Two machines and a connection from a to b. */
function pair(seed = 1) {
  const clock = new MemoryClock();
  const network = new SimNetwork(clock, new Prng(seed), new Totals());
  const [a, b] = [clock.view(), clock.view()];
  const received: string[] = [];
  const events: string[] = [];
  const dialler = network.transport("a", a);
  let dialled: Link | null = null;
  network.transport("b", b).onAccept((link) => {
    link.handlers = {
      frame: (bytes) => received.push(String.fromCharCode(...bytes)),
      closed: (reason) => events.push(`b: ${reason}`),
    };
  });
  const dial = (): void =>
    dialler.dial("b", (link, reason) => {
      dialled = link;
      if (link === null) events.push(`dial: ${reason}`);
      else link.handlers = { frame: () => undefined, closed: (why) => events.push(`a: ${why}`) };
    });
  dial();
  clock.advance(50);
  const send = (text: string): void => dialled?.send([Uint8Array.from(text, (character) => character.charCodeAt(0))]);
  return { clock, network, a, b, received, events, send, dial, link: () => dialled };
}

describe("the simulated network", () => {
  test("delivers frames in order, whatever their delays", () => {
    const { clock, network, received, send } = pair();
    network.edges.setAll({ jitterMs: 50 });
    for (let i = 0; i < 50; i += 1) send(`${i}`);
    clock.advance(5_000);
    expect(received).toEqual(Array.from({ length: 50 }, (_, i) => `${i}`));
  });

  test("holds frames while the edge is cut and delivers them after, as TCP does", () => {
    const { clock, network, received, send } = pair();
    network.edges.of("a", "b").cuts += 1;
    send("held");
    clock.advance(5_000);
    expect(received).toEqual([]);
    network.edges.of("a", "b").cuts -= 1;
    network.released();
    clock.advance(100);
    expect(received).toEqual(["held"]);
  });

  test("lets overlapping cuts end one by one", () => {
    const { clock, network, received, send } = pair();
    network.edges.of("a", "b").cuts += 2;
    send("x");
    network.edges.of("a", "b").cuts -= 1;
    network.released();
    clock.advance(100);
    expect(received).toEqual([]);
  });

  test("refuses a dial where nobody listens, and lets one time out where packets are dropped", () => {
    const { clock, network, b, events, dial } = pair();
    network.processEnded("b", b, false);
    clock.advance(50);
    dial();
    clock.advance(50);
    expect(events).toContain("dial: refused");
    network.edges.of("b", "a").cuts += 1;
    dial();
    clock.advance(2_000);
    expect(events).toContain("dial: timed out");
  });

  test("keeps live links and lets no new one begin while dials are blocked", () => {
    const { clock, network, received, events, send, dial } = pair();
    network.edges.of("a", "b").dialBlocks += 1;
    send("still here");
    dial();
    clock.advance(2_000);
    expect(received).toEqual(["still here"]);
    expect(events).toEqual(["dial: timed out"]);
  });

  test("tells the other end of a killed program at once, of lost power only in the end", () => {
    const killed = pair();
    killed.b.kill();
    killed.network.processEnded("b", killed.b, false);
    killed.clock.advance(50);
    expect(killed.events).toEqual(["a: connection reset"]);
    const dark = pair();
    dark.b.kill();
    dark.network.processEnded("b", dark.b, true);
    dark.clock.advance(1_000);
    expect(dark.events).toEqual([]);
    dark.clock.advance(5_000);
    expect(dark.events).toEqual(["a: connection timed out"]);
  });

  test("runs nothing in a paused program until it resumes, then everything in order", () => {
    const { clock, b, received, send } = pair();
    b.pause();
    send("1");
    send("2");
    clock.advance(1_000);
    expect(received).toEqual([]);
    b.resume();
    clock.advance(10);
    expect(received).toEqual(["1", "2"]);
  });

  test("loses, repeats and reorders whole frames only where the transport is declared broken", () => {
    const { clock, network, received, send } = pair(3);
    network.edges.setAll({ drop: 0.2, duplicate: 0.2, reorder: 0.3 });
    for (let i = 0; i < 200; i += 1) send(`${i}`);
    clock.advance(5_000);
    const numbers = received.map(Number);
    expect(new Set(numbers).size).toBeLessThan(200);
    expect(numbers.length).toBeGreaterThan(new Set(numbers).size);
    expect(numbers.some((number, i) => i > 0 && number < (numbers[i - 1] as number))).toBe(true);
  });
});

import { describe, expect, test } from "vitest";
import { type Membership, type NodeId, nodeId } from "@trivet/core";
import { decodeBase64, encodeBase64 } from "../../src/base/base64.ts";
import { statePointEvery, statePointsKept } from "../../src/base/limits.ts";
import { compareStates, type Points, StatePoints } from "../../src/state-audit/state-audit-points.ts";

const [a, b, c, d, e] = ["a", "b", "c", "d", "e"].map(nodeId) as [NodeId, NodeId, NodeId, NodeId, NodeId];

function voters(...nodes: readonly NodeId[]): Membership {
  return { voters: nodes, outgoing: [], learners: [], learnersNext: [], autoLeave: false };
}

const at = (...points: readonly (readonly [number, string])[]): Points => new Map(points);

describe("comparing states at equal indexes (W7)", () => {
  const three = voters(a, b, c);

  test("the newest index at which a quorum agrees decides", () => {
    const peers = new Map([
      [b, at([256, "x"], [512, "y"], [600, "z"])],
      [c, at([256, "x"], [512, "y"])],
    ]);
    expect(compareStates(a, three, at([256, "x"], [512, "y"], [700, "?"]), peers)).toMatchObject({ own: "equal", index: 512, others: [] });
    expect(compareStates(a, three, at([256, "x"], [512, "wrong"]), peers)).toMatchObject({
      own: "differs",
      index: 512,
      agreed: [b, c],
      others: [a],
    });
  });

  test("a quorum that one belongs to names the other", () => {
    const peers = new Map([
      [b, at([5, "x"])],
      [c, at([5, "wrong"])],
    ]);
    expect(compareStates(a, three, at([5, "x"]), peers)).toMatchObject({ own: "equal", others: [c], undecided: false });
  });

  test("without a quorum nobody is believed", () => {
    expect(compareStates(a, three, at([5, "x"]), new Map([[b, at([5, "y"])]]))).toMatchObject({
      own: "unknown",
      undecided: true,
      others: [b],
    });
    const all = new Map([
      [b, at([5, "y"])],
      [c, at([5, "z"])],
    ]);
    expect(compareStates(a, three, at([5, "x"]), all)).toMatchObject({ own: "unknown", undecided: true, others: [b, c] });
    expect(compareStates(a, voters(a, b), at([5, "x"]), new Map([[b, at([5, "y"])]]))).toMatchObject({ own: "unknown", undecided: true });
  });

  test("two equal ones of five are no quorum, three are", () => {
    const five = voters(a, b, c, d, e);
    const two = new Map([
      [b, at([5, "y"])],
      [c, at([5, "y"])],
    ]);
    expect(compareStates(a, five, at([5, "x"]), two).own).toBe("unknown");
    expect(compareStates(a, five, at([5, "x"]), new Map([...two, [d, at([5, "y"])]])).own).toBe("differs");
  });

  test("in the joint phase both halves must agree, and learners decide nothing", () => {
    const joint: Membership = { ...voters(b, c, d), outgoing: [a, e] };
    const peers = new Map([
      [b, at([5, "y"])],
      [c, at([5, "y"])],
    ]);
    expect(compareStates(a, joint, at([5, "x"]), peers).own).toBe("unknown");
    // `a` is only a learner here, and `d` no member at all.
    expect(
      compareStates(
        a,
        voters(b, c),
        at([5, "x"]),
        new Map([
          [b, at([5, "x"])],
          [d, at([5, "x"])],
        ]),
      ).own,
    ).toBe("unknown");
    expect(compareStates(a, voters(b, c), at([5, "x"]), peers).own).toBe("differs");
  });

  test("an old difference that a newer equality has mended decides nothing; a new one beside an old equality does not pass for equal", () => {
    const peers = new Map([
      [b, at([256, "x"], [512, "y"])],
      [c, at([256, "x"], [512, "y"])],
    ]);
    expect(compareStates(a, three, at([256, "wrong"], [512, "y"]), peers)).toMatchObject({ own: "equal", undecided: false });
    const newer = new Map([
      [b, at([256, "x"], [600, "z"])],
      [c, at([256, "x"])],
    ]);
    expect(compareStates(a, three, at([256, "x"], [600, "wrong"]), newer)).toMatchObject({ own: "equal", undecided: true, others: [b] });
  });

  test("nothing in common tells nothing", () => {
    expect(compareStates(a, three, at([5, "x"]), new Map([[b, at([6, "x"])]]))).toMatchObject({ own: "unknown", undecided: false });
  });
});

test("points are kept at indexes the log decides, the latest ones only", () => {
  const points = new StatePoints();
  let hashed = 0;
  const last = statePointEvery * (statePointsKept + 3) + 7;
  for (let index = 1; index <= last; index += 1) {
    points.passed(index, () => {
      hashed += 1;
      return `hash ${index}`;
    });
  }
  expect(hashed).toBe(statePointsKept + 3);
  const kept = [...points.all()];
  expect(kept.length).toBe(statePointsKept);
  expect(kept[0]).toEqual([statePointEvery * 4, `hash ${statePointEvery * 4}`]);
  points.clear();
  expect(points.all().size).toBe(0);
});

test("bytes survive base64 of every length, and what is none is refused", () => {
  for (let length = 0; length < 70; length += 1) {
    const bytes = Uint8Array.from({ length }, (_, i) => (i * 89 + length * 31) & 0xff);
    const text = encodeBase64(bytes);
    expect(text).toBe(Buffer.from(bytes).toString("base64"));
    expect(decodeBase64(text)).toEqual(bytes);
  }
  const large = Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) & 0xff);
  expect(decodeBase64(encodeBase64(large))).toEqual(large);
  for (const wrong of ["a", "abc", "a?==", "=abc", "ab=c"]) expect(decodeBase64(wrong)).toBeNull();
});

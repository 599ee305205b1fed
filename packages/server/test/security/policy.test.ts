import { describe, expect, test } from "vitest";
import { allows, allowsListing, builtInRoles, covers, type Identity, isUnlimitedWriter, type Rule } from "../../src/security/policy.ts";

const identity = (rules: readonly Rule[]): Identity => ({ principal: "key:x", roles: [], rules, whyEnded: () => null });
const orders = identity([{ verbs: ["read", "write"], resource: "locks", prefix: "orders" }]);

describe("a prefix covers whole segments", () => {
  test.each([
    ["", "anything", true],
    ["orders", "orders", true],
    ["orders", "orders/1", true],
    ["orders", "orders:1", true],
    ["orders", "orders.1", true],
    ["orders/", "orders/1", true],
    ["orders", "orders2", false],
    ["orders", "order", false],
    ["orders/", "orders", false],
    ["orders", "Orders/1", false],
    ["orders", "x/orders/1", false],
    ["orders", "", false],
  ])("%j, %j: %s", (prefix, name, expected) => {
    expect(covers(prefix, name)).toBe(expected);
  });
});

describe("what no rule allows is forbidden", () => {
  test("another name, verb or kind, and calls about no name in particular", () => {
    expect(allows(orders, "write", "locks", "orders/1")).toBe(true);
    expect(allows(orders, "write", "locks", "other")).toBe(false);
    expect(allows(orders, "admin", "locks", "orders/1")).toBe(false);
    expect(allows(orders, "write", "queues", "orders/1")).toBe(false);
    expect(allows(orders, "read", "locks", null)).toBe(false);
    expect(allows(identity([]), "read", "locks", "a")).toBe(false);
  });

  test("a listing reaches no further than the rule", () => {
    expect(allowsListing(orders, "read", "locks", "orders/")).toBe(true);
    expect(allowsListing(orders, "read", "locks", "orders/a:")).toBe(true);
    // It would show orders2 as well.
    expect(allowsListing(orders, "read", "locks", "orders")).toBe(false);
    expect(allowsListing(orders, "read", "locks", "")).toBe(false);
    expect(allowsListing(identity(builtInRoles.get("reader") ?? []), "read", "locks", "")).toBe(true);
  });

  test("the roles that are always there", () => {
    const [admin, writer, reader] = ["admin", "writer", "reader"].map((name) => identity(builtInRoles.get(name) ?? []));
    expect([admin, writer, reader].map((who) => who !== undefined && isUnlimitedWriter(who))).toEqual([true, true, false]);
    expect(allows(writer as Identity, "admin", "locks", "a")).toBe(false);
    expect(allows(writer as Identity, "admin", "cluster", null)).toBe(false);
    expect(allows(admin as Identity, "admin", "cluster", null)).toBe(true);
    expect(isUnlimitedWriter(orders)).toBe(false);
  });
});

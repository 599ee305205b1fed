import { generateKeyPairSync } from "node:crypto";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Failure } from "../../src/http/answer.ts";
import type { AccessControl } from "../../src/security/access-control.ts";
import { allows, type Identity } from "../../src/security/policy.ts";
import { TestAccess } from "./access.ts";
import { ecPair, rsaPair, TestIssuer } from "./issuer.ts";

let files: TestAccess;
let issuer: TestIssuer;
beforeEach(async () => {
  files = new TestAccess();
  files.write();
  issuer = new TestIssuer();
  await issuer.write();
});
afterEach(() => {
  files.remove();
  issuer.remove();
});

const reasonOf = (who: Identity | Failure): string => ("code" in who ? `${who.code}: ${String(who.values?.["reason"])}` : "let in");
const asks = async (access: AccessControl, token: string): Promise<string> =>
  reasonOf(await access.recognize(`Bearer ${token}`, "10.0.0.9"));
const known = async (access: AccessControl, token: string): Promise<Identity> => {
  const who = await access.recognize(`Bearer ${token}`);
  if ("code" in who) throw new Error(reasonOf(who));
  return who;
};
const seconds = (): number => Math.floor(Date.now() / 1_000);

describe("a token", () => {
  test("gives its caller a name and the rights of its roles, as the file says what they are", async () => {
    const access = files.open({ jwt: issuer.config() });
    const who = await known(access, await issuer.sign());
    expect(who).toMatchObject({ principal: "jwt:alice", roles: ["billing"] });
    expect(allows(who, "write", "locks", "orders/1")).toBe(true);
    expect(allows(who, "write", "locks", "other")).toBe(false);
    files.roles["billing"] = [{ verbs: ["read"], resource: "locks", prefix: "orders/" }];
    files.write();
    access.look();
    expect(allows(who, "write", "locks", "orders/1")).toBe(false);
  });

  test("with a role that nobody has made, or with none, is somebody without rights", async () => {
    const access = files.open({ jwt: issuer.config() });
    for (const roles of [["nobody"], [], undefined]) expect((await known(access, await issuer.sign({ roles }))).rules).toEqual([]);
  });

  test("may name its roles in one text, or in a member of another claim", async () => {
    const access = files.open({ jwt: issuer.config({ roleClaim: "realm_access.roles" }) });
    const who = await known(access, await issuer.sign({ realm_access: { roles: "reader billing" } }));
    expect(who.roles).toEqual(["reader", "billing"]);
  });

  test("that names prefixes reaches what its role and they have in common, and nothing of the cluster", async () => {
    const access = files.open({ jwt: issuer.config() });
    const who = await known(access, await issuer.sign({ roles: ["admin", "billing"], prefixes: ["orders/eu", "billing"] }));
    expect(allows(who, "admin", "locks", "orders/eu/1")).toBe(true);
    expect(allows(who, "write", "locks", "orders/us/1")).toBe(false);
    expect(allows(who, "read", "locks", "orders/europe")).toBe(false);
    expect(allows(who, "read", "cluster", null)).toBe(false);
    // A role narrower than the prefix stays as narrow as it is.
    const narrow = await known(access, await issuer.sign({ roles: ["billing"], prefixes: "orders" }));
    expect(narrow.rules).toEqual([{ verbs: ["read", "write"], resource: "locks", prefix: "orders/" }]);
    expect((await known(access, await issuer.sign({ roles: ["admin"], prefixes: [] }))).rules).toEqual([]);
  });

  test("is refused where it was made by somebody else, for somebody else, another time or in another way; told, counted, and kept nowhere", async () => {
    const stranger = ecPair();
    const rsa = rsaPair();
    issuer.rotate("rsa", ["one"], rsa);
    issuer.rotate("one", ["rsa"], issuer.pair("one"));
    await issuer.write();
    const access = files.open({ jwt: issuer.config() });
    const one = { kid: "one" };
    const ec = issuer.pair("one").privateKey;
    const good = await issuer.sign({}, one, ec);
    const [head = "", body = "", signature = ""] = good.split(".");
    const unsigned = `${Buffer.from('{"alg":"none","kid":"one"}').toString("base64url")}.${body}.`;
    const pem = Buffer.from(rsa.publicKey.export({ type: "spki", format: "pem" }));
    const cases: readonly (readonly [string, string, RegExp])[] = [
      ["token_algorithm", unsigned, /none of JWT_ALGORITHMS/],
      // The classic: the public key, which everybody knows, as the secret of an HMAC.
      ["token_algorithm", await issuer.sign({}, { alg: "HS256", kid: "rsa" }, pem), /none of JWT_ALGORITHMS/],
      ["token_algorithm", await issuer.sign({}, { alg: "PS256", kid: "rsa" }, rsa.privateKey), /none of JWT_ALGORITHMS/],
      ["token_signature", await issuer.sign({}, one, stranger.privateKey), /not the issuer's/],
      ["token_signature", `${head}.${body}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`, /not the issuer's/],
      [
        "token_signature",
        `${head}.${Buffer.from(Buffer.from(body, "base64url").toString().replace("alice", "admin")).toString("base64url")}.${signature}`,
        /not the issuer's/,
      ],
      ["token_unknown_key", await issuer.sign({}, { kid: "two" }, stranger.privateKey), /no key of that name/],
      // A key of the token's own making.
      [
        "token_signature",
        await issuer.sign({}, { ...one, jwk: stranger.publicKey.export({ format: "jwk" }) }, stranger.privateKey),
        /not the issuer's/,
      ],
      ["token_unknown_key", await issuer.sign({}, { ...one, alg: "RS256" }, rsa.privateKey), /no key of that name/],
      ["token_foreign", await issuer.sign({ iss: "https://other.example.com/" }, one, ec), /another issuer/],
      ["token_foreign", await issuer.sign({ aud: "another" }, one, ec), /another audience/],
      ["token_foreign", await issuer.sign({ aud: undefined }, one, ec), /another audience/],
      ["token_expired", await issuer.sign({ exp: seconds() - 60 }, one, ec), /has ended/],
      ["token_claims", await issuer.sign({ exp: undefined }, one, ec), /claim exp/],
      ["token_early", await issuer.sign({ nbf: seconds() + 60 }, one, ec), /not valid yet/],
      ["token_claims", await issuer.sign({ sub: undefined }, one, ec), /claim sub/],
      ["token_claims", await issuer.sign({ sub: "x".repeat(129) }, one, ec), /claim sub/],
      ["token_claims", await issuer.sign({ sub: "a\nb" }, one, ec), /claim sub/],
      ["token_claims", await issuer.sign({ roles: { admin: true } }, one, ec), /claim roles/],
      ["token_claims", await issuer.sign({ prefixes: [""] }, one, ec), /claim prefixes/],
      ["token_claims", await issuer.sign({ prefixes: { orders: true } }, one, ec), /claim prefixes/],
      ["token_form", "a.b.c", /cannot be read/],
    ];
    expect(await asks(access, good)).toBe("let in");
    for (const [reason, token, why] of cases) {
      files.said.counted.length = 0;
      files.said.lines.length = 0;
      const said = await asks(access, token);
      expect(said, reason).toMatch(/^unauthorized: /);
      expect(said, reason).toMatch(why);
      expect(files.said.counted).toEqual([`access_refused_total ${reason}`]);
      expect(files.said.lines).toEqual([expect.stringMatching(/^warn access\.refused /)]);
      expect(files.said.lines.join("")).not.toContain(token);
      // The same again: a refusal is not remembered as something else.
      expect(await asks(access, token)).toMatch(why);
    }
  });

  test("clocks may differ a little and no more; it ends with its time, or with the age that is allowed", async () => {
    const access = files.open({ jwt: issuer.config() });
    const start = Date.now();
    expect(await asks(access, await issuer.sign({ nbf: seconds() + 3 }))).toBe("let in");
    const token = await issuer.sign({ exp: Math.floor(start / 1_000) + 10 });
    const who = await known(access, token);
    files.now = () => start + 13_000;
    expect(await asks(access, token)).toBe("let in");
    files.now = () => start + 15_001;
    expect(await asks(access, token)).toMatch(/has ended/);
    expect(who.whyEnded()).toMatch(/has ended/);
    expect(who.rules).toEqual([]);
    files.now = () => start;
    const aged = files.open({ jwt: issuer.config({ maxAgeMs: 60_000 }) });
    expect(await asks(aged, await issuer.sign({ iat: seconds() - 120 }))).toMatch(/has ended/);
    expect(await asks(aged, await issuer.sign({ iat: undefined }))).toMatch(/claim iat/);
    const young = await issuer.sign();
    expect(await asks(aged, young)).toBe("let in");
    files.now = () => start + 70_000;
    expect(await asks(aged, young)).toMatch(/has ended/);
  });

  test("keys are taken beside tokens, and tokens nowhere but where they are asked for", async () => {
    const key = files.add("billing", "billing");
    expect((await known(files.open({ jwt: issuer.config() }), key)).principal).toBe("key:billing");
    expect(await asks(files.open(), await issuer.sign())).toMatch(/not known here/);
  });
});

describe("the issuer's keys", () => {
  test("in a file are read again; a file that is not good changes nothing and is told once", async () => {
    const access = files.open({ jwt: issuer.config() });
    const before = await issuer.sign();
    const who = await known(access, before);
    const { tokens } = access as unknown as { readonly tokens: { readonly keys: { load(): Promise<void> } } };
    await issuer.write("{");
    await tokens.keys.load();
    await tokens.keys.load();
    expect(files.said.lines.filter((line) => line.includes("token-keys.refused"))).toHaveLength(1);
    expect(await asks(access, before)).toBe("let in");
    issuer.rotate("two");
    await issuer.write();
    await tokens.keys.load();
    expect(await asks(access, await issuer.sign())).toBe("let in");
    // The key was given up: what it had signed is worth nothing, also what was seen before.
    expect(await asks(access, before)).toMatch(/no key of that name/);
    expect(who.whyEnded()).toMatch(/no longer the issuer's/);
  });

  test("may be PEM, of keys without names", async () => {
    const [one, two] = [ecPair(), rsaPair()];
    const pem = [one, two].map(({ publicKey }) => publicKey.export({ type: "spki", format: "pem" })).join("");
    await issuer.write(pem);
    const access = files.open({ jwt: issuer.config() });
    expect(await asks(access, await issuer.sign({}, { kid: "whatever" }, one.privateKey))).toBe("let in");
    expect(await asks(access, await issuer.sign({}, { kid: undefined, alg: "RS256" }, two.privateKey))).toBe("let in");
    expect(await asks(access, await issuer.sign({}, {}, ecPair().privateKey))).toMatch(/not the issuer's/);
  });

  test.each([
    ["nothing", "", /neither PEM nor JSON/],
    ["a secret that is shared", '{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}', /shared secret/],
    ["a private key (JWKS)", JSON.stringify({ keys: [ecPair().privateKey.export({ format: "jwk" })] }), /private key/],
    ["a private key (PEM)", ecPair().privateKey.export({ type: "pkcs8", format: "pem" }).toString(), /private key/],
    ["no key", '{"keys":[]}', /no key for signatures/],
    ["a key for something else", JSON.stringify({ keys: [{ ...ecPair().publicKey.export({ format: "jwk" }), use: "enc" }] }), /no key for/],
    [
      "a weak key",
      generateKeyPairSync("rsa", { modulusLength: 1_024 }).publicKey.export({ type: "spki", format: "pem" }).toString(),
      /1024 bits/,
    ],
    ["half a key", '{"keys":[{"kty":"EC","crv":"P-256","x":"AA"}]}', /key 1 is no public key/],
  ])("%s keeps a node from starting", async (_, text, why) => {
    await issuer.write(text);
    expect(() => files.open({ jwt: issuer.config() })).toThrow(why);
    issuer.remove();
    expect(() => files.open({ jwt: issuer.config() })).toThrow(/^JWT_KEYS: .*ENOENT/);
  });

  describe("at a URL", () => {
    let server: Server;
    let asked = 0;
    let answer = { status: 200, text: "" };
    let url = "";
    beforeEach(async () => {
      asked = 0;
      server = createServer((_request, response) => {
        asked += 1;
        response.writeHead(answer.status, { location: "http://127.0.0.1:1/" }).end(answer.text);
      });
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`;
      answer = { status: 200, text: await issuer.jwks() };
    });
    afterEach(() => new Promise<void>((resolve) => server.close(() => resolve())));

    test("are asked for when they are needed, once for many, and for an unknown one at most every half minute", async () => {
      const start = Date.now();
      files.now = () => start;
      const access = files.open({ jwt: issuer.config({ keys: { type: "url", url } }) });
      const tokens = await Promise.all(["a", "b", "c"].map((sub) => issuer.sign({ sub })));
      expect(await Promise.all(tokens.map((token) => asks(access, token)))).toEqual(["let in", "let in", "let in"]);
      expect(asked).toBe(1);
      issuer.rotate("two", ["one"]);
      answer = { status: 200, text: await issuer.jwks() };
      const rotated = await issuer.sign();
      expect(await asks(access, rotated)).toMatch(/no key of that name/);
      expect(asked).toBe(1);
      files.now = () => start + 30_000;
      expect(await asks(access, rotated)).toBe("let in");
      expect(asked).toBe(2);
    });

    test("that is silent, or sends elsewhere: known keys stay for a day, and without any no token is taken", async () => {
      const start = Date.now();
      files.now = () => start;
      answer = { status: 302, text: "" };
      const access = files.open({ jwt: issuer.config({ keys: { type: "url", url } }) });
      const token = await issuer.sign({ exp: seconds() + 200_000 });
      expect(await asks(access, token)).toMatch(/could not be loaded yet/);
      expect(files.said.counted).toContain("access_refused_total token_keys");
      expect(files.said.lines.join("\n")).toMatch(/error token-keys\.refused .*there are none/);
      answer = { status: 200, text: await issuer.jwks() };
      files.now = () => start + 30_000;
      expect(await asks(access, token)).toBe("let in");
      answer = { status: 500, text: "" };
      files.now = () => start + 80_000_000;
      expect(await asks(access, token)).toBe("let in");
      files.now = () => start + 30_000 + 86_400_001;
      expect(await asks(access, token)).toMatch(/could not be loaded yet/);
    });
  });
});

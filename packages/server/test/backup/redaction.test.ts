import { expect, it } from "vitest";
import { redaction } from "../../src/offline/redaction.ts";

const env = { SHARED_MAC_KEY: "a-secret-of-this-cluster", REDIS_URL: "redis://:p%40ssword-1@127.0.0.1:6379" };

it("takes out the configuration's secrets wherever they stand, also quoted, escaped or decoded", () => {
  const redact = redaction({ argv: [], env });
  const text = redact(`x a-secret-of-this-cluster y "a-secret-of-this-cluster" p@ssword-1 p%40ssword-1 ${env.REDIS_URL}`);
  expect(text).not.toMatch(/a-secret|ssword-1/);
  expect(text).toMatch(/^x \[redacted\] y/);
});

it("takes out what looks like a secret, and leaves the rest as it is", () => {
  const redact = redaction({ argv: [], env: {} });
  const key = `tvt_abcdefghij_${"A".repeat(43)}`;
  expect(redact(`key ${key}.`)).toBe("key tvt_[redacted].");
  expect(redact("Authorization: Bearer abc.def-ghi")).not.toContain("abc.def-ghi");
  expect(redact("postgres://user:pass@host/db")).toBe("postgres://[redacted]@host/db");
  expect(redact('{"password": "hunter22", "port": 8001}')).toBe('{"password": "[redacted]", "port": 8001}');
  expect(redact("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nafter")).toBe("[redacted]\nafter");
  const harmless = '{"node":"node1","url":"http://127.0.0.1:8001","fence":"17","name":"orders/42"}';
  expect(redact(harmless)).toBe(harmless);
});

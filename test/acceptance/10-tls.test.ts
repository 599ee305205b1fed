/** Point 10: S2's flow over HTTPS with certificates made by one command; a wrong authority and a wrong MAC key are refused. */
import { describe, it } from "vitest";
// Seven nodes as S2 lays them out, HTTPS without -k; a wrong authority, a wrong name, openssl's CN-only certificate.
import "../tls.test.ts";
// A wrong SHARED_MAC_KEY, and other settings that do not fit; and how a key is changed.
import "../mismatch.test.ts";
import "../key-rotation.test.ts";

describe("containers", () => {
  it.todo("S2's seven services over HTTPS by Compose: there is no TLS overlay of the Compose file yet");
});

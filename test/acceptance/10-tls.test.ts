/** Point 10: S2's flow over HTTPS with certificates made by one command; a wrong authority and a wrong MAC key are refused. */
import { testsOf } from "./targets.ts";
// Seven nodes as S2 lays them out, HTTPS without -k; a wrong authority, a wrong name, openssl's CN-only certificate.
import "../tls.test.ts";
// A wrong SHARED_MAC_KEY, and other settings that do not fit; and how a key is changed.
import "../mismatch.test.ts";
import "../key-rotation.test.ts";

testsOf("S2's services over HTTPS by Compose", "test/containers-tls.test.ts");

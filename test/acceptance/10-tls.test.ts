/** Point 10: S2's flow over HTTPS with certificates made by one command; a wrong authority and a wrong MAC key are refused. */
import { testsOf } from "./targets.ts";

testsOf("seven nodes as S2 lays them out, HTTPS without -k; a wrong authority, a wrong name, a CN-only certificate", "test/tls.test.ts");
testsOf("a wrong SHARED_MAC_KEY, and other settings that do not fit", "test/mismatch.test.ts");
testsOf("how the key is changed", "test/key-rotation.test.ts");
testsOf("S2's services over HTTPS by Compose", "test/containers-tls.test.ts");

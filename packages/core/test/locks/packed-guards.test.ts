import { guard } from "../raft/guard.ts";
import { endedSessionsHoldNothing, heldAreNotFree, snapshotsOfPackedAreCuts } from "./packed-scenarios.ts";

guard("lock-packed-unseen", "what was held before a restart is not free after it", heldAreNotFree);
guard("lock-packed-outlives-session", "nothing is held by a session that is over", endedSessionsHoldNothing);
guard("snapshot-no-image-packed", "a hold that is asked for while a snapshot is cut is in it, once", snapshotsOfPackedAreCuts);

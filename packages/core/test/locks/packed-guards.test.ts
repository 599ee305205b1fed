import { guard } from "../raft/guard.ts";
import { endedSessionsHoldNothing, heldAreNotFree, snapshotsHaveWhatEnded, snapshotsOfPackedAreCuts } from "./packed-scenarios.ts";

guard("lock-packed-unseen", "what was held before a restart is not free after it", heldAreNotFree);
guard("lock-packed-outlives-session", "nothing is held by a session that is over", endedSessionsHoldNothing);
guard("session-end-keeps-holds", "what a session holds is free when it ends", endedSessionsHoldNothing);
guard("session-end-unordered", "what a session holds ends in the order of its fences", endedSessionsHoldNothing);
guard("snapshot-no-image-packed", "a hold that is asked for while a snapshot is cut is in it, once", snapshotsOfPackedAreCuts);
guard("snapshot-packed-twice", "a hold that is asked for after it was written is not written again", snapshotsOfPackedAreCuts);
guard("snapshot-no-image-packed-end", "a hold that ends while a snapshot is cut is in it", snapshotsHaveWhatEnded);

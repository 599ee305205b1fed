import { auditAnchors } from "./audit-anchors.ts";
import { expiryAfterPause, leaseOverPause, renewalAfterExpiry, renewalBeforeStart, renewalWithoutQuorum } from "./leases.ts";
import { doubtfulTails } from "./doubtful-tails.ts";
import { mixedLevels } from "./feature-levels.ts";
import { installCrash } from "./install-crash.ts";
import { logDamage } from "./log-damage.ts";
import { logRandom } from "./log-random.ts";
import { removedLeaderLeaves } from "./membership.ts";
import {
  deathsWhileMoving,
  flappingNodes,
  leadersChange,
  nameAgain,
  oldData,
  shrinkAndGrow,
  silentTogether,
  staleLeader,
} from "./placement.ts";
import { nearCoRR, nearCoWW, nearInversion, nearIRIW, nearMP, nearSB } from "./near-litmus.ts";
import { nearRandom } from "./near-random.ts";
import type { Scenario } from "./scenario.ts";
import { crashWhileReplacingShard, doubtfulShard, doubtfulShardLeader } from "./shard-audit.ts";
import { answersAfterInstall, deadlineInSilence, extensionOverPause, floorFollowsFlush, shortStore } from "./shards.ts";
import { snapshotRandom } from "./snapshot-random.ts";
import {
  crashWhileReplacing,
  doubtOutlivesRestart,
  doubtfulFollower,
  doubtfulLeader,
  doubtfulSnapshot,
  undecidedStates,
} from "./state-audit.ts";
import { systemRandom } from "./system-random.ts";

/** All scripts, cheap ones first. */
export const scenarios: readonly Scenario[] = [
  leaseOverPause,
  expiryAfterPause,
  renewalAfterExpiry,
  renewalWithoutQuorum,
  renewalBeforeStart,
  removedLeaderLeaves,
  mixedLevels,
  extensionOverPause,
  answersAfterInstall,
  shortStore,
  floorFollowsFlush,
  deadlineInSilence,
  nearCoRR,
  nearCoWW,
  nearMP,
  nearSB,
  nearIRIW,
  nearInversion,
  nearRandom,
  doubtfulShard,
  doubtfulShardLeader,
  doubtfulTails,
  doubtfulFollower,
  doubtfulLeader,
  doubtOutlivesRestart,
  doubtfulSnapshot,
  undecidedStates,
  crashWhileReplacing,
  crashWhileReplacingShard,
  flappingNodes,
  deathsWhileMoving,
  silentTogether,
  oldData,
  nameAgain,
  shrinkAndGrow,
  staleLeader,
  leadersChange,
  auditAnchors,
  installCrash,
  logDamage,
  snapshotRandom,
  logRandom,
  systemRandom,
];

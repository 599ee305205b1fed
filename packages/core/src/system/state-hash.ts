import { mix } from "./digest.ts";
import type { SystemState } from "./system-state.ts";

/** See SystemState.stateHash. What a version adds is added to the sum, and is 0 while nobody uses it: then the hash is that of the versions before. */
export function hashOfState(state: SystemState): string {
  const { auditAnchors, dedupe, features, ledger, lockState, namespaceRegistry, placementRecord, queueRegistry, registry } = state;
  let extra = mix(registry.digest(), lockState.lastFence);
  extra = mix(extra, lockState.lastWait);
  extra = mix(extra, lockState.lastDelay);
  extra = mix(extra, lockState.lastAnonymous);
  extra = mix(extra, state.sessionTable.lastSession);
  extra = mix(extra, ledger.groupTime);
  extra = mix(extra, lockState.resolutions.length);
  const { digest } = queueRegistry;
  extra = (extra + queueRegistry.countersDigest() + Math.imul(placementRecord.digest(), 7)) | 0;
  extra = (extra + Math.imul(namespaceRegistry.digest(), 17) + Math.imul(features.digest(), 23)) | 0;
  const lows = ledger.digest.low + Math.imul(dedupe.digest.low, 3) + Math.imul(digest.low, 11) + Math.imul(auditAnchors.digest.low, 29);
  const highs =
    ledger.digest.high + Math.imul(dedupe.digest.high, 5) + Math.imul(digest.high, 13) + Math.imul(auditAnchors.digest.high, 31);
  const low = (lows + extra) >>> 0;
  const high = (highs + Math.imul(extra, 0x9e3779b1)) >>> 0;
  return high.toString(16).padStart(8, "0") + low.toString(16).padStart(8, "0");
}

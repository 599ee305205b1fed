import { mutant } from "#mutation";

/**
 * Two clocks of one machine, in milliseconds. `steady` never jumps but stands still while a virtual machine is suspended; `wall` goes on
 * then but may be set. A holder believes whichever has gone further.
 */
export interface Moment {
  readonly steady: number;
  readonly wall: number;
}

export interface CoherenceTiming {
  /** T: how long a holder may read its copies after the request for its lease was sent. */
  readonly leaseMs: number;
  /** ρ: by how much two clocks may differ in rate. */
  readonly clockRateError: number;
  /** How often a holder asks for its lease to be prolonged, and sends again what was not answered. */
  readonly renewEveryMs: number;
  /** M6: how long a holder whose lease lapsed gets no other; doubles with every lapse that follows before the bar has been over as long. */
  readonly barMs: number;
  readonly longestBarMs: number;
  /** A registered holder without a lease for so long leaves the register. */
  readonly forgetAfterMs: number;
}

const leaseMs = 700;

export const defaultCoherenceTiming: CoherenceTiming = {
  leaseMs,
  clockRateError: 0.01,
  renewEveryMs: Math.floor(leaseMs / 3),
  barMs: 10 * leaseMs,
  longestBarMs: 600_000,
  forgetAfterMs: 600_000,
};

/** What a home waits before a lease that it granted is over for certain: the holder's clock may run slower than ours. */
export function grantedMs({ clockRateError, leaseMs: ms }: CoherenceTiming): number {
  return mutant("coherence-no-clock-margin") ? ms : ms * (1 + clockRateError);
}

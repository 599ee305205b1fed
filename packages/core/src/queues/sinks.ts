/** A hand-out that is not settled: what its timer is named by. */
export interface LeaseId {
  readonly queue: number;
  readonly partition: number;
  readonly group: string;
  /** Of the group: timers of one that was deleted must not meet leases of the next of its name. */
  readonly incarnation: number;
  readonly sequence: number;
  readonly acquired: number;
  /** How often this hand-out was extended. */
  readonly extended: number;
}

/**
 * Visibility is liveness time (rule L3): the leader runs the timers and proposes `expire-leases`. Implementations must not call back into
 * the state machine.
 */
export interface LeaseSink {
  /** Handed out or extended: the lease lasts `leaseMs` from now. */
  leased(id: LeaseId, leaseMs: number): void;
  ended(id: LeaseId): void;
}

/**
 * Told when a group that was answered "no more" has something to be handed out again. Until a consume answers without `more`, there may
 * be more, and nothing is told. A hint: what is said to be ready may be behind a busy key.
 */
export interface ReadySink {
  ready(queue: number, partition: number, group: string): void;
}

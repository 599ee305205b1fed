/** Said instead of the catalogue's text when who asks for a lock is the one in the way; code and fields stay the same. */
export interface OwnHoldText {
  readonly detail: string;
  readonly next: string;
}

const next =
  "Send `reentrant: true` to count a second acquire, renew to keep it for longer, upgrade for a stronger mode; acquire as another owner if that is somebody else.";

/** Code `locked`: the only holder is who asks. */
export const lockedByItself = (name: string, owner: string): OwnHoldText => ({
  detail: `Lock ${name} was not granted, and nothing stays queued. You already hold it: its holder is owner ${owner} of this very call.`,
  next,
});

/** Code `deadlock`: who waits is the one waited for. */
export const waitsForItself = (name: string, owner: string): OwnHoldText => ({
  detail: `Waiting for lock ${name} would never end, so this wait was ended. You already hold it, as owner ${owner}, or wait for it in another call; nobody else is in the way.`,
  next,
});

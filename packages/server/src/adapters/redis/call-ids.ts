/** A call whose answer its partition keeps: what a later question needs to find it (rule X3). */
export interface CallName {
  readonly queue: number;
  readonly partition: number;
  /** Wall time of the node, Unix milliseconds: the deadline of the call. */
  readonly notAfter: number;
  /** Its idempotency key, under which the answer is kept. */
  readonly key: string;
}

/** Apart from ids of the log, which begin with the number of a group. */
export function formatCallId({ queue, partition, notAfter, key }: CallName): string {
  return `redis.${queue.toString(36)}.${partition.toString(36)}.${notAfter.toString(36)}.${key}`;
}

/** Null when `text` names no call whose answer is kept. */
export function parseCallId(text: string): CallName | null {
  const match = /^redis\.([0-9a-z]{1,11})\.([0-9a-z]{1,2})\.([0-9a-z]{1,11})\.(.{1,128})$/su.exec(text);
  if (match === null) return null;
  const [, queue = "", partition = "", notAfter = "", key = ""] = match;
  const name = {
    queue: Number.parseInt(queue, 36),
    partition: Number.parseInt(partition, 36),
    notAfter: Number.parseInt(notAfter, 36),
    key,
  };
  return Number.isSafeInteger(name.queue) && Number.isSafeInteger(name.notAfter) ? name : null;
}

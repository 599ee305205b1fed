/** What INFO says that makes Redis less safe than people may think, in words for the log. */
export function adviceOn(info: string): readonly string[] {
  const value = (name: string): string => new RegExp(`^${name}:(.*?)\\r?$`, "m").exec(info)?.[1] ?? "";
  const advice: string[] = [];
  const policy = value("maxmemory_policy");
  if (value("maxmemory") !== "0" && policy !== "" && policy !== "noeviction") {
    advice.push(`Redis may throw messages away when its memory is full: set maxmemory-policy to noeviction instead of ${policy}`);
  }
  if (value("aof_enabled") === "0") {
    advice.push("Redis keeps no append-only file: set appendonly to yes, or acknowledged messages are lost when it restarts");
  }
  return advice;
}

/** Of a user of Redis that may not use INFO. */
export const mayNotAsk =
  "This user of Redis may not use INFO: after a fail-over numbers of messages and receipts that were lost with the former primary may be given again. Grant it +info";

/** The scripts are written for Redis 7.0: flags in their first line, effects instead of scripts to the replicas. Null = new enough, or unknown. */
export function tooOld(info: string): string | null {
  const version = /^redis_version:(\d+)\.(\S+?)\r?$/m.exec(info);
  return version === null || Number(version[1]) >= 7 ? null : `Redis ${version[1]}.${version[2]} is too old: 7.0 or newer is needed`;
}

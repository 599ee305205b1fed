import { isForbidden, type RedisLink, textOf } from "./link.ts";

/**
 * What people should know of the server's settings. Never rejects. Of what the user may not ask nothing is said, but for what it needs to ask.
 */
export async function adviceOf(link: Pick<RedisLink, "send">, prefix: string): Promise<readonly string[]> {
  const about = await link.send("", ["INFO"]).then(textOf, (error: unknown) => (isForbidden(error) ? null : ""));
  const found = about === null ? [mayNotAsk] : [...adviceOn(about)];
  if (about !== null && !/^aof_enabled:1\r?$/m.test(about)) return found;
  const step = ["XADD", `${prefix}:{queue:0}:s0`, "*", "field", "value"];
  const said = await link.send("", ["ACL", "DRYRUN", "default", ...step]).then(textOf, () => "OK");
  return said === "OK" ? found : [...found, forgets];
}

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
  if (value("role") !== "" && value("master_replid") === "") {
    advice.push(`This server does not name its history (master_replid of INFO): ${noHistory}`);
  }
  return advice;
}

const noHistory = "after a fail-over numbers of messages and receipts that were lost with the former primary may be given again";
/** Of a user of Redis that may not use INFO. */
const mayNotAsk = `This user of Redis may not use INFO: ${noHistory}. Grant it +info`;

/** redis/redis#14541: what a script wrote is one transaction in the file, and at loading its rights are looked at again, as those of the default user. */
const forgets =
  "Redis forgets what is in its queues when it is started again: it loads its append-only file as its default user, which may not do what scripts have done (redis/redis#14541, mended in late 2025). Give that user the rights; it may stay off: user default off ~* &* +@all";

/** The scripts are written for Redis 7.0: flags in their first line, effects instead of scripts to the replicas. Null = new enough, or unknown. */
export function tooOld(info: string): string | null {
  const version = /^redis_version:(\d+)\.(\S+?)\r?$/m.exec(info);
  return version === null || Number(version[1]) >= 7 ? null : `Redis ${version[1]}.${version[2]} is too old: 7.0 or newer is needed`;
}

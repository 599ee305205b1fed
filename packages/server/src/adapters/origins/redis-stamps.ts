import { stampSuffix } from "@trivet/engine";

/**
 * KEYS: the value, its stamp. ARGV: the stamp of this write, 1 = a value (0 = deleted), the value, how long the stamp of a deleted key is kept. Answers 1
 * when the value is written, the stamp that is there when that is the same or a higher one. Stamps are digits of one length, so that they compare as texts.
 */
export const writeScript = `
local known = redis.call('GET', KEYS[2])
if known and known >= ARGV[1] then return known end
if ARGV[2] == '1' then
  redis.call('SET', KEYS[1], ARGV[3])
  redis.call('SET', KEYS[2], ARGV[1])
else
  redis.call('DEL', KEYS[1])
  redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[4])
end
return 1
`;

/**
 * Where the stamp of a value is: beside it, in the same slot of a Redis Cluster. A name that has a `}` and no hash tag has no such place; a cluster refuses
 * to write it.
 */
export function stampKeyOf(name: string): string {
  const open = name.indexOf("{");
  const close = open < 0 ? -1 : name.indexOf("}", open + 1);
  const hasTag = close > open + 1;
  return `${hasTag ? name : `{${name}}`}${stampSuffix}`;
}

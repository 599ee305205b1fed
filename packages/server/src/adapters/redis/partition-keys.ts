/**
 * The keys of one partition in the order that the scripts count them. One hash tag each, so that a partition is whole on one node of a cluster
 * and the partitions of a queue are spread. A brace in a queue's name would end the tag, or open an empty one: it is written otherwise.
 */
export function partitionKeys(prefix: string, name: string, partition: number): readonly string[] {
  const tag = `${prefix}:{${name.replaceAll("%", "%25").replaceAll("{", "%7B").replaceAll("}", "%7D")}:${partition}}`;
  return [tag, ...suffixes.map((suffix) => `${tag}:${suffix}`)];
}

const suffixes = [
  "s0",
  "s1",
  "s2",
  "s3",
  "delayed",
  "delayed:messages",
  "dedupe",
  "dedupe:windows",
  "dlq",
  "dlq:index",
  "groups",
  "deliveries",
  "again",
  "parked",
  "keys",
  "deadlines",
] as const;

/** What is said when a group that waited has something: `queue|partition|group`. */
export function readyChannel(prefix: string): string {
  return `${prefix}:ready`;
}

/**
 * What a user of Redis's access control may do who keeps queues there (docs/deployment_guide.md): its keys and its channel, the commands of the scripts,
 * and what is asked of the server itself.
 */
export const ruleOfNodes =
  "~q:* &q:* +@stream +@hash +@sortedset +@connection +@scripting +@pubsub +time +del +unlink +pexpire +info +acl|dryrun +wait +config|get";
/** The user that nodes are, and one for the test. The default user is off, and has its rights: Redis loads its file as that one (redis/redis#14541). */
export const usersOf = (rule: string): readonly string[] => [
  "user default off ~* &* +@all",
  "user admin on >admin-secret ~* &* +@all",
  `user trivet on >trivet-secret ${rule}`,
];
export const askAsAdmin: readonly string[] = ["--user", "admin", "-a", "admin-secret"];
export const envOfUser: Readonly<Record<string, string>> = { REDIS_USERNAME: "trivet", REDIS_PASSWORD: "trivet-secret" };

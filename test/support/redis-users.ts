/**
 * What a user of Redis's access control may do who keeps queues there (docs/deployment_guide.md): its keys and its channel, the commands of the scripts,
 * and what is asked of the server itself.
 */
export const ruleOfNodes =
  "~q:* &q:* +@stream +@hash +@sortedset +@connection +@scripting +@pubsub +time +del +unlink +pexpire +info +wait +config|get";
/** The user that nodes are, and one for the test. */
export const usersOf = (rule: string): readonly string[] => [
  "user default off",
  "user admin on >admin-secret ~* &* +@all",
  `user trivet on >trivet-secret ${rule}`,
];
export const askAsAdmin: readonly string[] = ["--user", "admin", "-a", "admin-secret"];
export const envOfUser: Readonly<Record<string, string>> = { REDIS_USERNAME: "trivet", REDIS_PASSWORD: "trivet-secret" };

/** Bugs of the study that cannot be made here as a switch, and why. */
export const notApplicable: Readonly<Record<number, string>> = {
  35: "group 0 has no store beside its snapshot, which carries its own index and is replaced as a whole; the shards' store writes both in one transaction (rule W5); see wal-35 for the snapshot's own durability",
  37: "the log in memory is complete above its base: no read of an earlier entry can fail and be taken for the beginning",
  41: "followers forward frames and answer from their own apply; nothing is proposed by apply (decision 0002)",
  42: "a retry without identity does not exist: every command has (caller, sequence); without the table it is dedupe-executes-twice",
};

import { groupId } from "@trivet/core";
import type { LineName } from "@trivet/wire";
import type { Clock } from "../ports/clock.ts";
import type { Verified, Violation } from "./cache-api.ts";
import type { CopyReports, Directory, ReportedCopy } from "./copy-reports.ts";
import { doubtfulRounds, doubtfulRoundsEveryMs, verifiedCopies, verifiedPerQuestion } from "./limits.ts";
import { keyOfLine, shardOfLine } from "./lines.ts";

interface Held extends ReportedCopy {
  readonly node: string;
}
interface Doubt {
  readonly invariant: string;
  readonly line: LineName;
  readonly detail: string;
}
interface Round {
  readonly doubts: ReadonlyMap<string, Doubt>;
  readonly lines: number;
  readonly silent: readonly string[];
  readonly truncated: readonly string[];
}
/** What the nodes said; of those of `truncated` not all. */
interface Collected {
  readonly held: Map<LineName, Held[]>;
  readonly silent: Set<string>;
  readonly truncated: Set<string>;
}

export interface VerifyingParts {
  readonly reports: Pick<CopyReports, "copiesOf" | "directoryOf" | "others">;
  readonly clock: Clock;
  readonly self: string;
  readonly shards: number;
  readonly nameOf: (namespace: number) => string;
}

/**
 * The invariants of the cache over all nodes, as it runs. Nodes are not asked at one moment, so that something may look wrong that is not: a
 * doubt counts once the same copy was in it in several rounds. A stale copy stays, one that is being withdrawn does not.
 */
export function verify(parts: VerifyingParts, done: (verified: Verified) => void): void {
  const round = (number: number, before: Round | null): void =>
    lookOnce(parts, (found) => {
      const doubts = new Map([...found.doubts].filter(([name]) => before === null || before.doubts.has(name)));
      const next: Round = { ...found, doubts };
      if (doubts.size > 0 && number < doubtfulRounds) {
        parts.clock.schedule(doubtfulRoundsEveryMs, () => round(number + 1, next));
        return;
      }
      const violations = [...doubts.values()].map((doubt) => violationOf(doubt, parts.nameOf));
      const { lines, silent, truncated } = found;
      const ok = violations.length + silent.length + truncated.length === 0;
      done({ type: "verified", ok, keysChecked: lines, violations, silent, truncated });
    });
  round(1, null);
}

function lookOnce(parts: VerifyingParts, done: (round: Round) => void): void {
  const nodes = [parts.self, ...parts.reports.others()];
  const collected: Collected = { held: new Map(), silent: new Set(), truncated: new Set() };
  const { held, silent, truncated } = collected;
  let left = nodes.length;
  const heard = (): void => {
    left--;
    if (left === 0) askHomes(parts, collected, done);
  };
  for (const node of nodes) {
    collect(parts.reports, node, (copies, isAll) => {
      if (copies === null) silent.add(node);
      if (!isAll) truncated.add(node);
      for (const copy of copies ?? []) {
        const others = held.get(copy.line);
        if (others === undefined) held.set(copy.line, [{ ...copy, node }]);
        else others.push({ ...copy, node });
      }
      heard();
    });
  }
}

function collect(
  reports: VerifyingParts["reports"],
  node: string,
  done: (copies: readonly ReportedCopy[] | null, isAll: boolean) => void,
): void {
  const all: ReportedCopy[] = [];
  const page = (from: number): void =>
    reports.copiesOf(node, from, (found) => {
      if (found === null) return done(null, true);
      all.push(...found.copies);
      if (found.next === null || all.length >= verifiedCopies) done(all, found.next === null);
      else page(found.next);
    });
  page(0);
}

/** The homes are asked after the holders: what a home knows by then covers what the holders had. */
function askHomes(parts: VerifyingParts, { held, silent, truncated }: Collected, done: (round: Round) => void): void {
  const doubts = new Map<string, Doubt>();
  const questions: { readonly shard: number; readonly lines: LineName[] }[] = [];
  for (const line of held.keys()) {
    const shard = shardOfLine(line, parts.shards);
    const last = questions.findLast((question) => question.shard === shard);
    if (last !== undefined && last.lines.length < verifiedPerQuestion) last.lines.push(line);
    else questions.push({ shard, lines: [line] });
  }
  let left = questions.length;
  const heard = (): void => {
    left--;
    if (left <= 0) done({ doubts, lines: held.size, silent: [...silent], truncated: [...truncated] });
  };
  if (left === 0) return heard();
  for (const { lines, shard } of questions) {
    parts.reports.directoryOf(groupId(shard), lines, (directories) => {
      if (directories === null) silent.add(`home of shard ${shard}`);
      for (const [place, line] of lines.entries()) {
        const directory = directories?.[place];
        if (directory !== undefined) judge(line, held.get(line) ?? [], directory, doubts);
      }
      heard();
    });
  }
}

/** Rules M2 to M7, as far as one look can tell. */
function judge(line: LineName, copies: readonly Held[], { phase, sharers, version }: Directory, doubts: Map<string, Doubt>): void {
  const doubt = (invariant: string, { node, version: of }: Held, detail: string): void => {
    doubts.set(`${invariant}/${line}/${node}/${of}`, { invariant, line, detail });
  };
  const owners = copies.filter(({ state }) => state === "E" || state === "M");
  const [first] = owners;
  if (first !== undefined && owners.length > 1) {
    doubt("single-writer", first, owners.map(({ node, state }) => `${node} has ${state}`).join(", "));
  }
  for (const copy of copies) {
    if (copy.version !== version) doubt("data-value", copy, `${copy.node} has version ${copy.version}, stored is ${version}`);
    // A new home knows nothing of leases of the former one, and waits for them to end before it writes (rule M4).
    if (phase !== "recovering" && !sharers.some(({ holder }) => holder === copy.node)) {
      doubt("directory-covers-copies", copy, `${copy.node} has ${copy.state}, and its home does not know of it`);
    }
  }
}

function violationOf({ detail, invariant, line }: Doubt, nameOf: (namespace: number) => string): Violation {
  const [namespace, key] = keyOfLine(line);
  return { invariant, namespace: nameOf(namespace), key, detail };
}

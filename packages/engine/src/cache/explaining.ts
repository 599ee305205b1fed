import { type GroupId } from "@trivet/core";
import type { LineName } from "@trivet/wire";
import type { Clock } from "../ports/clock.ts";
import type { CacheEntry, CopyView, Explained } from "./cache-api.ts";
import type { CopyReports } from "./copy-reports.ts";
import { retryMs } from "./limits.ts";

interface Asked {
  readonly namespace: string;
  readonly key: string;
  readonly line: LineName;
  readonly group: GroupId;
  readonly deadline: number;
}

/** The home's word, and that of every node about its own copy; null = no home answered in time. */
export function explain(
  reports: CopyReports,
  clock: Clock,
  self: string,
  { deadline, group, key, line, namespace }: Asked,
  done: (explained: Explained | null) => void,
): void {
  reports.directoryOf(group, [line], (directories) => {
    const directory = directories?.[0];
    if (directory === undefined) {
      if (clock.now() + retryMs >= deadline) return done(null);
      clock.schedule(retryMs, () => explain(reports, clock, self, { deadline, group, key, line, namespace }, done));
      return;
    }
    const nodes = [self, ...reports.others()];
    const copies: (CopyView | null)[] = nodes.map(() => null);
    const silent: string[] = [];
    let left = nodes.length;
    for (const [place, node] of nodes.entries()) {
      reports.viewOf(node, line, (view) => {
        if (view === null) silent.push(node);
        else copies[place] = { node, ...view };
        left--;
        if (left > 0) return;
        const heard = copies.filter((copy) => copy !== null);
        done({ type: "explained", namespace, key, shard: group, ...directory, copies: heard, silent });
      });
    }
  });
}

/** The first of the nodes, this one left out, that has a copy it may read. */
export function firstCopy(
  reports: CopyReports,
  nodes: readonly string[],
  line: LineName,
  done: (found: (CacheEntry & { readonly node: string }) | null) => void,
): void {
  const [node, ...rest] = nodes;
  if (node === undefined) return done(null);
  reports.copyOf(node, line, (entry) => (entry === null ? firstCopy(reports, rest, line, done) : done({ ...entry, node })));
}

import type { Missing, Result } from "../results.ts";
import type { SubjectName } from "../subjects/subject.ts";
import { figure } from "../table.ts";
import { Figures, type Target } from "./figures.ts";
import { serviceOf, type Selection } from "./select.ts";
import { targets } from "./targets.ts";

const begin = "<!-- speed:begin (written by `npm run bench -- report`; changes by hand are lost) -->";
const end = "<!-- speed:end -->";

const beside: readonly SubjectName[] = ["trivet", "etcd", "redis"];
const services: Readonly<Record<string, string>> = { lock: "Locks", queue: "Queues", cache: "The cache" };

const row = (what: string, cell: (subject: SubjectName) => string): string => `| ${[what, ...beside.map(cell)].join(" | ")} |`;

function lockRows(results: readonly (Result | Missing)[]): readonly string[] {
  const figures = new Figures(results);
  const pairs = (clients: number) => (subject: SubjectName) =>
    figure(figures.find("lock-uncontended", subject, clients)?.more["pairs_per_s"]);
  return [
    "| Locks | Trivet | etcd | one Redis, not replicated |",
    "| --- | ---: | ---: | ---: |",
    row("acquire + release pairs a second, 64 in flight", pairs(64)),
    row("the same, 256 in flight", pairs(256)),
    row("`kill -9` of the leader → next grant, p50 and p99", (subject) => {
      const failover = figures.find("lock-failover", subject);
      return failover === undefined ? "–" : `${figure(failover.p50_ms)} ms, ${figure(failover.p99_ms)} ms`;
    }),
  ];
}

function missedLines(all: readonly Target[]): readonly string[] {
  return Object.entries(services).flatMap(([service, title]) => {
    const missed = all.filter(({ met, workload }) => met === false && serviceOf(workload) === service);
    if (missed.length === 0) return [];
    return [`- ${title}:`, ...missed.map(({ what }) => `  - ${what.replace(/^\w+: /, "").replace(/, beside /, ", compared with ")}`)];
  });
}

/** What README.md says of the speed: the figures of docs/benchmarks.md that are asked for most, and the name of every target that was missed. */
export function headline({ machines, results }: Pick<Selection, "machines" | "results">): string {
  const all = targets(results);
  const count = (met: boolean | null): number => all.filter((target) => target.met === met).length;
  const { cores, cpu } = machines["lock"] ?? {};
  const [met, missed, open] = [count(true), count(false), count(null)];
  return [
    begin,
    ...(cpu === undefined
      ? []
      : [
          "",
          `Three nodes and their callers on one machine (${cores} × ${cpu}), everybody with an fsync before the answer, Trivet and etcd on a majority, each line in one run:`,
          "",
          ...lockRows(results),
        ]),
    "",
    `Of ${all.length} [targets](docs/benchmarks.md#targets) ${met} are met, ${missed} missed, ${open} not measured in full.${missed > 0 ? " Missed are ([by how much](docs/benchmarks.md#targets)):" : ""}`,
    ...(missed > 0 ? ["", ...missedLines(all)] : []),
    "",
    end,
  ].join("\n");
}

/** `page` with what stands between the marks replaced. Throws where they are not. */
export function withHeadline(page: string, text: string): string {
  const [from, to] = [page.indexOf(begin), page.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`README.md has no lines ${begin} and ${end}`);
  return page.slice(0, from) + text + page.slice(to + end.length);
}

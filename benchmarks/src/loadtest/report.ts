import { headlinesOf } from "./headlines.ts";
import type { LoadTest } from "./load-test.ts";
import type { CallRow } from "./tally.ts";
import { escapeHtml, timeChart } from "./time-chart.ts";

/** Light and dark; a chart's lines are told apart by their names, too. */
const style = `
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d1d9e0; --first: #0072b2; --second: #8a6d00; --bad: #c1272d; }
@media (prefers-color-scheme: dark) { :root { --ink: #f0f6fc; --soft: #9198a1; --line: #3d444d; --first: #56b4e9; --second: #e0b93a; --bad: #ff7b72; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; } th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } td.text, th.text { text-align: left; } .soft { color: var(--soft); } .verdict { font-size: 1.15rem; font-weight: 600; } .bad { color: var(--bad); }
svg { width: 100%; font: 12px system-ui, sans-serif; } svg .title { fill: var(--ink); font-weight: 600; } svg .soft { fill: var(--soft); } svg .grid { stroke: var(--line); }
svg .line { fill: none; stroke-width: 1.5; } svg .first { stroke: var(--first); } svg .second { stroke: var(--second); } svg .bad { stroke: var(--bad); }
svg .name { stroke: none; } svg .name.first { fill: var(--first); } svg .name.second { fill: var(--second); } svg .name.bad { fill: var(--bad); }`;

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>${escapeHtml(title)}</title>
<style>${style}
</style></head><body>
${body}
</body></html>
`;
}

function number(value: number | null): string {
  if (value === null) return "";
  return value >= 100 ? String(Math.round(value)) : value.toFixed(1);
}

function callsTable(rows: readonly CallRow[], nothing: string): string {
  if (rows.length === 0) return `<p class="soft">${nothing}</p>`;
  const lines = rows.map(
    ({ name, count, p50_ms, p99_ms, max_ms }) =>
      `<tr><td>${escapeHtml(name)}</td><td>${count}</td><td>${number(p50_ms)}</td><td>${number(p99_ms)}</td><td>${number(max_ms)}</td></tr>`,
  );
  return `<table><tr><th>Call</th><th>Count</th><th>Median, ms</th><th>99th percentile, ms</th><th>Longest, ms</th></tr>
${lines.join("\n")}</table>`;
}

/** The whole run on one page that needs nothing else: what was expected and what was not, apart. */
export function reportOf(test: LoadTest): string {
  const { tally, load } = test;
  const { succeeded, expected, unexpected, elapsedMs } = test.progress();
  const seconds = tally.seconds();
  const verdict =
    unexpected === 0
      ? `<p class="verdict">No unexpected outcome in ${succeeded + expected} calls.</p>`
      : `<p class="verdict bad">${unexpected} unexpected outcomes in ${succeeded + expected + unexpected} calls.</p>`;
  const headlines = headlinesOf(test).map(
    ({ id, promise, measured, remark }) =>
      `<tr><td>${id}: ${escapeHtml(promise)}</td><td class="text">${escapeHtml(measured)}<br><span class="soft">${escapeHtml(remark)}</span></td></tr>`,
  );
  const reasons = tally.reasons().map(([reason, count]) => `<tr><td>${escapeHtml(reason)}</td><td>${count}</td></tr>`);
  const scenarios = load.scenarios.length === 0 ? "all five, by their weights" : load.scenarios.join(", ");
  return page(
    "Load test of Trivet",
    `<h1>Load test</h1>
${verdict}
<p>${load.users} users, ${load.spawnRate} more each second, for ${number(elapsedMs / 1_000)} s from ${test.startedAt.toISOString()}.
Scenarios: ${scenarios}. Nodes: ${escapeHtml(load.hosts.join(", "))}.</p>
${timeChart("Calls a second", [
  { name: "calls", kind: "first", values: seconds.map(({ calls }) => calls) },
  { name: "unexpected", kind: "bad", values: seconds.map((second) => second.unexpected) },
])}
${timeChart("Latency, ms", [
  { name: "median", kind: "first", values: seconds.map(({ p50_ms }) => p50_ms) },
  { name: "99th percentile", kind: "second", values: seconds.map(({ p99_ms }) => p99_ms) },
])}
${timeChart("Users", [{ name: "users", kind: "first", values: seconds.map(({ users }) => users) }])}
<h2>The numbers of the documents</h2>
<table><tr><th>Promise</th><th class="text">This run</th></tr>
${headlines.join("\n")}</table>
<h2>Succeeded</h2>
${callsTable(tally.rows("succeeded"), "Nothing succeeded.")}
<h2>Expected: outcomes that belong to the work</h2>
<p class="soft">A lock that somebody else holds (423), a deadlock that was told (409 of an acquire), a message whose lease was over (409 of an ack).</p>
${callsTable(tally.rows("expected"), "None.")}
<h2>Unexpected</h2>
${callsTable(tally.rows("unexpected"), "None.")}
${reasons.length === 0 ? "" : `<table><tr><th>What came back</th><th>Count</th></tr>\n${reasons.join("\n")}</table>`}`,
  );
}

/** The page at the web port: to begin a run, to watch it, to read its report. */
export function controlPage(hosts: readonly string[], users: number, spawnRate: number): string {
  return page(
    "Load test of Trivet",
    `<h1>Load test</h1>
<form id="start"><p><label>Nodes <input name="host" size="50" value="${escapeHtml(hosts.join(","))}"></label></p>
<p><label>Users <input name="users" type="number" min="1" value="${users}"></label>
<label>more each second <input name="spawn-rate" type="number" min="0.1" step="any" value="${spawnRate}"></label>
<label>for <input name="run-time" size="8" placeholder="5m"></label>
<button>Start</button> <button id="stop" type="button">Stop</button></p></form>
<p id="state" class="verdict">…</p><div id="chart"></div><p><a href="/report">Report of this run</a></p>
<script>
const ask = (path, body) => fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body ?? {}) });
document.getElementById("start").onsubmit = async (event) => {
  event.preventDefault();
  const answer = await ask("/start", Object.fromEntries(new FormData(event.target)));
  if (!answer.ok) alert(await answer.text());
};
document.getElementById("stop").onclick = () => ask("/stop");
setInterval(async () => {
  const { text, chart } = await (await fetch("/progress")).json();
  document.getElementById("state").textContent = text;
  document.getElementById("chart").innerHTML = chart;
}, 1000);
</script>`,
  );
}

import { linearScale } from "../report/scale.ts";

/** A line over the seconds of a run; `kind` is its class in the report's style sheet. */
export interface Series {
  readonly name: string;
  readonly kind: "first" | "second" | "bad";
  readonly values: readonly (number | null)[];
}

const [width, height, left, right, top, bottom] = [760, 220, 56, 16, 34, 190];

export function escapeHtml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

/** An SVG chart for a page that brings the styles; every line is named beside it. */
export function timeChart(title: string, series: readonly Series[]): string {
  const longest = Math.max(1, ...series.map(({ values }) => values.length));
  const highest = Math.max(1, ...series.flatMap(({ values }) => values.map((value) => value ?? 0)));
  const across = linearScale(Math.max(1, longest - 1), left, width - right);
  const up = linearScale(highest, bottom, top);
  const grid = up.ticks.map((tick) => {
    const y = up.at(tick).toFixed(1);
    return `<line class="grid" x1="${left}" y1="${y}" x2="${width - right}" y2="${y}"/><text class="soft" x="${left - 6}" y="${Number(y) + 4}" text-anchor="end">${tick}</text>`;
  });
  const seconds = across.ticks.map(
    (tick) => `<text class="soft" x="${across.at(tick).toFixed(1)}" y="${bottom + 18}" text-anchor="middle">${tick} s</text>`,
  );
  const lines = series.map(({ kind, values }) => {
    const points = values.flatMap((value, at) => (value === null ? [] : [`${across.at(at).toFixed(1)},${up.at(value).toFixed(1)}`]));
    return `<polyline class="line ${kind}" points="${points.join(" ")}"/>`;
  });
  const legend = series.map(
    ({ name, kind }, index) =>
      `<text class="name ${kind}" x="${width - right - index * 150}" y="20" text-anchor="end">${escapeHtml(name)}</text>`,
  );
  return `<svg viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeHtml(title)}">
<text class="title" x="8" y="20">${escapeHtml(title)}</text>
${[...grid, ...seconds, ...lines, ...legend].join("\n")}
</svg>`;
}

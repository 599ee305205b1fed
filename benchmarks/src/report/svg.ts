import type { SubjectName } from "../subjects/subject.ts";
import { figure } from "../table.ts";
import { linearScale, logScale, type Scale } from "./scale.ts";

/** Charts as self-contained SVG: readable in light and dark, coloured for the colour-blind, every mark also told in numbers. */

const width = 760;
const left = 150;
const right = 90;

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

function px(value: number): string {
  return Number(value.toFixed(1)).toString();
}

interface Colours {
  readonly ink: string;
  readonly soft: string;
  readonly line: string;
  readonly paper: string;
  readonly subjects: Readonly<Record<SubjectName, string>>;
}

const lightOurs = { trivet: "#0072b2", "trivet-redis-everysec": "#3f8fc4", "trivet-redis-always": "#7a5fb5" };
const darkOurs = { trivet: "#56b4e9", "trivet-redis-everysec": "#9ed2f2", "trivet-redis-always": "#b9a3f0" };

const lightQueues = { bullmq: "#c2410c", nats: "#00897b", "nats-always": "#4d908e", rabbitmq: "#8a6d00" };
const darkQueues = { bullmq: "#ff9a62", nats: "#3cc9b8", "nats-always": "#8fc9c4", rabbitmq: "#e0b93a" };

const lightCaches = { "lru-cache": "#5b7f00", cacheable: "#b5179e", "node-redis": "#c1121f" };
const darkCaches = { "lru-cache": "#a8c94a", cacheable: "#f27de0", "node-redis": "#ff8a80" };

const light: Colours = {
  ink: "#1f2328",
  soft: "#59636e",
  line: "#d1d9e0",
  paper: "#ffffff",
  subjects: { ...lightOurs, floor: "#7a8490", etcd: "#d55e00", redis: "#aa4499", ...lightQueues, ...lightCaches },
};
const dark: Colours = {
  ink: "#f0f6fc",
  soft: "#9198a1",
  line: "#3d444d",
  paper: "#0d1117",
  subjects: { ...darkOurs, floor: "#9aa4b0", etcd: "#f0904a", redis: "#dd88cc", ...darkQueues, ...darkCaches },
};

/** Plain rules, no custom properties: viewers other than browsers do not know those. */
function rules({ ink, soft, line, paper, subjects }: Colours): string {
  const bySubject = Object.entries(subjects).map(([name, colour]) => `.${name} { fill: ${colour}; stroke: ${colour}; }`);
  return [
    `.paper { fill: ${paper}; } .title, .label { fill: ${ink}; } .soft { fill: ${soft}; } .grid { stroke: ${line}; } .spread { stroke: ${ink}; }`,
    ...bySubject,
    `.hole { fill: ${paper}; } .line { fill: none; } .mark { stroke: none; }`,
  ].join("\n    ");
}

const style = `
    svg { font: 12px system-ui, sans-serif; } .title { font-size: 15px; font-weight: 600; } .line { stroke-width: 1.5; }
    ${rules(light)}
    @media (prefers-color-scheme: dark) {
    ${rules(dark)}
    }`;

function picture(title: string, height: number, body: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
  <title>${escape(title)}</title>
  <style>${style}
  </style>
  <rect class="paper" width="${width}" height="${height}"/>
  <text class="title" x="16" y="24">${escape(title)}</text>
  ${body.join("\n  ")}
</svg>
`;
}

/** Ticks are round by themselves: no digits beyond those they have. */
function tickText(tick: number): string {
  return tick >= 1000 ? figure(tick) : String(tick);
}

function grid(scale: Scale, top: number, bottom: number, unit: string): string[] {
  return scale.ticks.flatMap((tick, index) => {
    const x = px(scale.at(tick));
    const text = `${tickText(tick)}${index === scale.ticks.length - 1 ? ` ${unit}` : ""}`;
    return [
      `<line class="grid" x1="${x}" y1="${top}" x2="${x}" y2="${bottom}"/>`,
      `<text class="soft" x="${x}" y="${bottom + 16}" text-anchor="middle">${escape(text)}</text>`,
    ];
  });
}

export interface Bar {
  readonly label: string;
  readonly subject: SubjectName;
  readonly value: number;
  /** Smallest and largest round. */
  readonly spread?: readonly [number, number];
}

const rowHeight = 22;
const groupGap = 14;
const top = 44;

/** Horizontal bars in groups, the value written at each. Logarithmic where subjects differ by orders of magnitude. */
export function barChart(title: string, unit: string, groups: readonly (readonly Bar[])[], log: boolean): string {
  const bars = groups.flat();
  if (bars.length === 0) return picture(title, 60, [`<text class="soft" x="16" y="46">nothing was measured</text>`]);
  const values = bars.flatMap(({ value, spread }) => [value, ...(spread ?? [])]);
  const scale = log ? logScale(values, left, width - right) : linearScale(Math.max(...values), left, width - right);
  const bottom = top + bars.length * rowHeight + (groups.length - 1) * groupGap;
  const body = grid(scale, top - 4, bottom, unit);
  let y = top;
  for (const group of groups) {
    for (const { label, subject, value, spread } of group) {
      const end = scale.at(value);
      body.push(
        `<text class="label" x="${left - 8}" y="${y + 15}" text-anchor="end">${escape(label)}</text>`,
        `<rect class="${subject} mark" x="${left}" y="${y + 3}" width="${px(Math.max(1, end - left))}" height="${rowHeight - 6}" rx="2"/>`,
      );
      if (spread !== undefined) {
        const [low, high] = spread;
        body.push(`<line class="spread" x1="${px(scale.at(low))}" y1="${y + 11}" x2="${px(scale.at(high))}" y2="${y + 11}"/>`);
      }
      const labelX = Math.max(end, spread === undefined ? end : scale.at(spread[1])) + 6;
      body.push(`<text class="label" x="${px(labelX)}" y="${y + 15}">${escape(figure(value))}</text>`);
      y += rowHeight;
    }
    y += groupGap;
  }
  return picture(title, bottom + 28, body);
}

export interface Range {
  readonly label: string;
  readonly subject: SubjectName;
  readonly p50: number;
  readonly p99: number;
  readonly p999: number;
}

/** One line per row from p50 (full dot) over p99 (ring) to p99.9 (tick), logarithmic. */
export function rangeChart(title: string, unit: string, rows: readonly Range[]): string {
  if (rows.length === 0) return picture(title, 60, [`<text class="soft" x="16" y="46">nothing was measured</text>`]);
  const scale = logScale(
    rows.flatMap(({ p50, p99, p999 }) => [p50, p99, p999]),
    left,
    width - right,
  );
  const bottom = top + rows.length * rowHeight;
  const body = grid(scale, top - 4, bottom, unit);
  for (const [index, { label, subject, p50, p99, p999 }] of rows.entries()) {
    const y = top + index * rowHeight + rowHeight / 2;
    const [a, b, c] = [p50, p99, p999].map((value) => px(scale.at(value)));
    body.push(
      `<text class="label" x="${left - 8}" y="${y + 4}" text-anchor="end">${escape(label)}</text>`,
      `<line class="${subject}" x1="${a}" y1="${y}" x2="${c}" y2="${y}" stroke-width="2"/>`,
      `<circle class="${subject} mark" cx="${a}" cy="${y}" r="5"/>`,
      `<circle class="${subject} hole" cx="${b}" cy="${y}" r="4" stroke-width="2"/>`,
      `<line class="${subject}" x1="${c}" y1="${y - 5}" x2="${c}" y2="${y + 5}" stroke-width="2"/>`,
      `<text class="soft" x="${px(Number(c) + 8)}" y="${y + 4}">${escape([p50, p99, p999].map((value) => figure(value)).join(" · "))}</text>`,
    );
  }
  body.push(`<text class="soft" x="${left}" y="${bottom + 34}">● p50   ○ p99   | p99.9</text>`);
  return picture(title, bottom + 46, body);
}

export interface Strip {
  readonly label: string;
  readonly subject: SubjectName;
  readonly values: readonly number[];
}

/** Every single event as a dot: an outlier must not hide in a percentile. */
export function stripChart(title: string, unit: string, rows: readonly Strip[]): string {
  const values = rows.flatMap((row) => row.values);
  if (values.length === 0) return picture(title, 60, [`<text class="soft" x="16" y="46">nothing was measured</text>`]);
  const scale = linearScale(Math.max(...values), left, width - right);
  const height = 44;
  const bottom = top + rows.length * height;
  const body = grid(scale, top - 4, bottom, unit);
  for (const [index, { label, subject, values: events }] of rows.entries()) {
    const y = top + index * height;
    body.push(`<text class="label" x="${left - 8}" y="${y + height / 2 + 4}" text-anchor="end">${escape(label)}</text>`);
    for (const [order, value] of events.entries()) {
      // Spread over the height by order, so that equal values remain countable.
      const dotY = y + 8 + ((order * 7) % 12) * ((height - 16) / 11);
      body.push(`<circle class="${subject} mark" cx="${px(scale.at(value))}" cy="${px(dotY)}" r="2.5" opacity="0.7"/>`);
    }
  }
  return picture(title, bottom + 28, body);
}

export interface Line {
  readonly label: string;
  readonly subject: SubjectName;
  /** One value per second. */
  readonly values: readonly number[];
}

/** Values over time, one panel, from zero. */
export function lineChart(title: string, lines: readonly Line[]): string {
  const longest = Math.max(0, ...lines.map(({ values }) => values.length));
  if (longest < 2) return picture(title, 60, [`<text class="soft" x="16" y="46">nothing was measured</text>`]);
  const bottom = 224;
  const start = 70;
  const across = linearScale(longest - 1, start, width - right);
  const up = linearScale(Math.max(...lines.flatMap(({ values }) => values)), bottom, top);
  const body = up.ticks.flatMap((tick) => {
    const y = px(up.at(tick));
    return [
      `<line class="grid" x1="${start}" y1="${y}" x2="${width - right}" y2="${y}"/>`,
      `<text class="soft" x="${start - 6}" y="${Number(y) + 4}" text-anchor="end">${escape(tickText(tick))}</text>`,
    ];
  });
  for (const tick of across.ticks.filter((value) => across.at(value) <= width - right)) {
    body.push(`<text class="soft" x="${px(across.at(tick))}" y="${bottom + 16}" text-anchor="middle">${escape(tickText(tick))} s</text>`);
  }
  for (const { label, subject, values } of lines) {
    const points = values.map((value, second) => `${px(across.at(second))},${px(up.at(value))}`).join(" ");
    const lastY = up.at(values.at(-1) ?? 0);
    body.push(
      `<polyline class="${subject} line" points="${points}"/>`,
      `<text class="label" x="${px(across.at(values.length - 1) + 6)}" y="${px(lastY + 4)}">${escape(label)}</text>`,
    );
  }
  return picture(title, bottom + 28, body);
}

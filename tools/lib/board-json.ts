/** What a board shows; its form as Grafana has it is made from this. */
export interface Board {
  readonly uid: string;
  readonly title: string;
  readonly about: string;
  readonly rows: readonly { readonly title: string; readonly panels: readonly Panel[] }[];
}
export interface Panel {
  readonly title: string;
  readonly about: string;
  /** A number at a glance, or lines over time. */
  readonly kind?: "stat" | "lines";
  /** Grafana's name of the unit. */
  readonly unit?: "s" | "bytes" | "Bps" | "ops" | "percentunit";
  readonly queries: readonly { readonly expr: string; readonly legend: string }[];
}

export const dataSource = { type: "prometheus", uid: "trivet-prometheus" } as const;
const columns = 24;
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

function panelJson(panel: Panel, id: number, gridPos: object): object {
  const isStat = panel.kind === "stat";
  return {
    id,
    type: isStat ? "stat" : "timeseries",
    title: panel.title,
    description: panel.about,
    datasource: dataSource,
    gridPos,
    fieldConfig: {
      defaults: {
        unit: panel.unit ?? "short",
        min: 0,
        ...(isStat ? {} : { custom: { lineWidth: 1, fillOpacity: 8, showPoints: "never" } }),
      },
      overrides: [],
    },
    options: isStat
      ? { reduceOptions: { calcs: ["lastNotNull"] }, colorMode: "value" }
      : { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi", sort: "desc" } },
    targets: panel.queries.map(({ expr, legend }, index) => ({
      refId: letters.charAt(index),
      datasource: dataSource,
      expr,
      legendFormat: legend,
    })),
  };
}

/** The board as Grafana's provisioning reads it: rows of panels, three abreast, numbers four abreast. */
export function boardJson(board: Board): object {
  const panels: object[] = [];
  let y = 0;
  let id = 0;
  for (const row of board.rows) {
    id += 1;
    panels.push({ id, type: "row", title: row.title, collapsed: false, gridPos: { h: 1, w: columns, x: 0, y }, panels: [] });
    y += 1;
    let x = 0;
    let height = 0;
    for (const panel of row.panels) {
      const [w, h] = panel.kind === "stat" ? [6, 4] : [8, 8];
      if (x + w > columns) {
        x = 0;
        y += height;
        height = 0;
      }
      id += 1;
      panels.push(panelJson(panel, id, { h, w, x, y }));
      x += w;
      height = Math.max(height, h);
    }
    y += height;
  }
  return {
    uid: board.uid,
    title: board.title,
    description: board.about,
    tags: ["trivet"],
    schemaVersion: 39,
    version: 1,
    editable: true,
    refresh: "10s",
    time: { from: "now-30m", to: "now" },
    timezone: "browser",
    templating: {
      list: [
        {
          name: "node",
          label: "Node",
          type: "query",
          datasource: dataSource,
          query: { query: 'label_values(up{job="trivet"}, instance)', refId: "nodes" },
          refresh: 2,
          includeAll: true,
          multi: true,
          allValue: ".*",
          current: { text: "All", value: "$__all" },
          sort: 1,
        },
      ],
    },
    annotations: { list: [] },
    links: [{ type: "dashboards", tags: ["trivet"], title: "Trivet", asDropdown: true, includeVars: true, keepTime: true }],
    panels,
  };
}

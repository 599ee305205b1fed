/** The values of one sample name on a Prometheus text page, with their labels as they are written there. */
export function samplesIn(page: string, name: string): readonly { readonly labels: string; readonly value: number }[] {
  const samples: { readonly labels: string; readonly value: number }[] = [];
  for (const line of page.split("\n")) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    const match = /^(?:\{([^}]*)\})?\s+(\S+)/.exec(rest);
    if (match === null) continue;
    const value = Number(match[2]);
    if (Number.isFinite(value)) samples.push({ labels: match[1] ?? "", value });
  }
  return samples;
}

/** Sum over all label sets, or over those in which `label` is written; null when the page has none. */
export function counterIn(page: string, name: string, label?: string): number | null {
  const samples = samplesIn(page, name).filter(({ labels }) => label === undefined || labels.split(",").includes(label));
  return samples.length === 0 ? null : samples.reduce((sum, { value }) => sum + value, 0);
}

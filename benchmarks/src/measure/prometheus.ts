/** Sum over all label sets of one sample name on a Prometheus text page; null when the page does not have it. */
export function counterIn(page: string, name: string): number | null {
  let sum: number | null = null;
  for (const line of page.split("\n")) {
    if (!line.startsWith(name)) continue;
    const rest = line.slice(name.length);
    const match = /^(?:\{[^}]*\})?\s+(\S+)/.exec(rest);
    if (match === null) continue;
    const value = Number(match[1]);
    if (Number.isFinite(value)) sum = (sum ?? 0) + value;
  }
  return sum;
}

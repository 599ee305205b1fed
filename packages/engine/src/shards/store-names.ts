/** Where a group's states are: each that was installed has a store of its own, named by its index (rule W5). */
export function storeName(group: number, index: number): string {
  return `g${group}-${index}`;
}

/** Null for what is no group's store. */
export function parseStoreName(name: string): { readonly group: number; readonly index: number } | null {
  const match = /^g(\d{1,6})-(\d{1,16})$/.exec(name);
  return match === null ? null : { group: Number(match[1]), index: Number(match[2]) };
}

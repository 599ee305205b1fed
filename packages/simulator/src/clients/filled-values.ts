import type { World } from "../world/world.ts";

const filledBytes = 100;

/** In every fourth world values are long, and namespaces have them compressed. By the seed and not by chance: other worlds stay as they were. */
export function hasFilledValues({ options }: World): boolean {
  return options.seed % 4 === 3;
}

export function filled(world: World, value: string): string {
  return hasFilledValues(world) ? value.padEnd(filledBytes, ".") : value;
}

/** Turns named bugs on. Only the simulator build (`--conditions=mutants`) has a real one; elsewhere mutants do not exist. */
export interface MutantSwitch {
  activate(names: readonly string[]): void;
  /** Mutants whose branch was reached since they were activated. */
  reached(): readonly string[];
}

export const noMutants: MutantSwitch = {
  activate(names) {
    if (names.length > 0) throw new Error(`mutants exist only under --conditions=mutants: ${names.join(", ")}`);
  },
  reached: () => [],
};

interface MutationModule {
  readonly activateMutants?: (names: readonly string[]) => void;
  readonly reachedMutants?: () => readonly string[];
}

/** The switch of this build; `noMutants` when it was started without the condition. */
export async function loadSwitch(): Promise<MutantSwitch> {
  const module = (await import("@trivet/core/mutation")) as MutationModule;
  const { activateMutants, reachedMutants } = module;
  if (activateMutants === undefined || reachedMutants === undefined) return noMutants;
  return { activate: activateMutants, reached: reachedMutants };
}

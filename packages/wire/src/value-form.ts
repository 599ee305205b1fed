import { type Packing, packings } from "./cache-commands.ts";
import { CodecError } from "./codec-error.ts";

/** The byte before a value, in records and messages: 0 = there is none, 1 = as it is, 2 and more = compressed, by its place in `packings`. */
export function formOf(value: Uint8Array | null, packing: Packing | undefined): number {
  if (value === null) return 0;
  return packing === undefined ? 1 : 2 + packings.indexOf(packing);
}

export interface ValueForm {
  readonly isThere: boolean;
  readonly packing?: Packing;
}

/** Throws CodecError. */
export function readForm(form: number): ValueForm {
  if (form < 2) return { isThere: form === 1 };
  const packing = packings[form - 2];
  if (packing === undefined) throw new CodecError(`unknown form of a value: ${form}`);
  return { isThere: true, packing };
}

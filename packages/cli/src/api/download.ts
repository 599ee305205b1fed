import { CliError } from "../output/errors.ts";
import { reasonOf } from "./http.ts";

/** So long a node may send nothing. */
const stallMs = 60_000;

/**
 * The body of an answer, piece by piece. Where the node falls silent, or cuts it off, it throws with the reason.
 *
 * @param open Sends the call; its signal is that of the silence.
 */
export async function* download(open: (signal: AbortSignal) => Promise<Response>, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const silence = new AbortController();
  const expire = (): void => silence.abort(new Error(`nothing came for ${stallMs / 1000} s`));
  let timer = setTimeout(expire, stallMs);
  try {
    const answer = await open(AbortSignal.any([silence.signal, signal]));
    if (answer.body === null) return;
    for await (const piece of answer.body as AsyncIterable<Uint8Array>) {
      clearTimeout(timer);
      timer = setTimeout(expire, stallMs);
      yield piece;
    }
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new Error(silence.signal.aborted ? `nothing came for ${stallMs / 1000} s` : reasonOf(error), { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

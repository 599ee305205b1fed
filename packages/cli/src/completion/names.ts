import type { Api } from "../api/http.ts";
import type { Candidate } from "./candidates.ts";

/** Nobody waits longer for a list of names. */
export const namesTimeoutMs = 700;
const mostNames = 100;

/** Names of locks that are held or waited for, or of queues, that begin so. Who does not answer, or may not be asked, knows none: a shell is no place for errors. */
export async function namesFrom(api: Api, kind: "locks" | "queues", prefix: string): Promise<readonly Candidate[]> {
  const query = new URLSearchParams({ limit: String(mostNames), ...(prefix === "" ? {} : { prefix }) });
  const begun = performance.now();
  for (const url of api.urls) {
    if (performance.now() - begun > namesTimeoutMs) return [];
    const answer = await api.ask(url, `/v1/${kind}?${query.toString()}`);
    if ("problem" in answer || answer.status !== 200) continue;
    const found = (answer.body as Readonly<Record<string, readonly { readonly name: string }[] | undefined>>)[kind] ?? [];
    // A name with a control character would be several lines, or worse.
    return found.filter(({ name }) => !/\p{Cc}/u.test(name)).map(({ name }) => ({ value: name, about: "" }));
  }
  return [];
}

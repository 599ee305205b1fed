import { describeError, errorCatalogue, errorType, fillTemplate, type ErrorCode, type Problem } from "@trivet/contract";
import { badField, failure, FailureError, type Failure } from "./answer.ts";
import { likelyField, mistyped, type Sent, spellings, type WrittenAs } from "./written.ts";

export const problemContentType = "application/problem+json; charset=utf-8";

export interface BuiltProblem {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Problem;
}

/** Seconds for Retry-After, rounded up: 0 would invite a storm. */
const retryAfter = (ms: number): string => String(Math.max(1, Math.ceil(ms / 1_000)));

/** The RFC 9457 body of a failure. `legacy` adds what S4's clients look at. */
export function buildProblem(reason: Failure, requestId: string, legacy: boolean): BuiltProblem {
  const { code, values = {}, members = {}, retryAfterMs } = reason;
  const entry = errorCatalogue[code];
  const body: Problem = {
    type: errorType(code),
    title: entry.title,
    status: entry.status,
    detail: reason.detail ?? describeError(code, values),
    code,
    error: entry.title,
    retryable: entry.retryable,
    request_id: requestId,
    next: fillTemplate(entry.next, values),
    ...(legacy ? { success: false as const } : {}),
    ...(retryAfterMs === undefined ? {} : { retry_after_ms: retryAfterMs }),
    ...members,
  };
  const needsRetryAfter = retryAfterMs !== undefined || entry.status === 429 || entry.status === 503;
  return {
    status: entry.status,
    headers: { ...reason.headers, ...(needsRetryAfter ? { "retry-after": retryAfter(retryAfterMs ?? 1_000) } : {}) },
    body,
  };
}

interface AjvFault {
  readonly keyword?: string;
  readonly instancePath?: string;
  readonly message?: string;
  readonly params?: Readonly<Record<string, unknown>>;
}
interface FastifyFault {
  readonly code?: string;
  readonly statusCode?: number;
  readonly message?: string;
  readonly validation?: readonly AjvFault[];
  readonly validationContext?: string;
}

const formats: Readonly<Record<string, string>> = {
  "lock-name": "a name of 1 to 512 bytes of UTF-8",
  "owner-name": "1 to 256 bytes of UTF-8",
  label: "at most 256 bytes of UTF-8",
  reason: "1 to 512 bytes of UTF-8",
};

/** `/locks/0/name` as people write it: `locks[0].name`. */
const fieldOf = (path: string): string =>
  path
    .slice(1)
    .split("/")
    .map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))
    .reduce((whole, part) => (/^[0-9]+$/.test(part) ? `${whole}[${part}]` : whole === "" ? part : `${whole}.${part}`), "");

/** Limits of a field that was sent in seconds, and is kept in milliseconds. */
function inSeconds(fault: AjvFault): string {
  const limit = Number(fault.params?.["limit"]) / 1_000;
  if (fault.keyword === "minimum") return `at least ${limit} seconds`;
  return fault.keyword === "maximum" ? `at most ${limit} seconds` : "a number of seconds";
}

const decimalPattern = "^(0|[1-9][0-9]{0,15})$";

function expectation(fault: AjvFault, as: WrittenAs | undefined): string {
  const params = fault.params ?? {};
  if (as?.unit === "seconds") return inSeconds(fault);
  switch (fault.keyword) {
    case "enum":
      return `one of ${(params["allowedValues"] as readonly unknown[]).join(", ")}`;
    case "format":
      return formats[String(params["format"])] ?? String(params["format"]);
    case "const":
      return `expected ${JSON.stringify(params["allowedValue"])}`;
    case "pattern":
      return params["pattern"] === decimalPattern ? "a number below 2^53 as a decimal string" : `text like ${String(params["pattern"])}`;
    case undefined:
    default:
      return (fault.message ?? "not valid").replace(/^must be /, "expected ").replace(/^must NOT have/, "must not have");
  }
}

/** The call as a whole, or a field of it, lacks `name`. Most likely it is there and mistyped. */
function missingField(name: string, place: string, sent: Sent | null, inside: (name: string) => string): Failure {
  const typo = sent === null ? null : mistyped(sent, place, name);
  if (typo !== null) return badField(inside(typo.field), notKnown(typo.meant));
  const [, ...others] = sent === null ? [name] : spellings(sent, name);
  return badField(inside(name), others.length === 0 ? "needed, but missing" : `needed, but missing (also accepted: ${others.join(", ")})`);
}
const notKnown = (meant: string | null): string => `not a known field here${meant === null ? "" : ` (did you mean ${meant}?)`}`;

/** Field and expectation of the fault that says most. A union reports each branch; the deepest is what the caller meant. */
function fromAjv(faults: readonly AjvFault[], place: string, sent: Sent | null): Failure {
  const meaningful = faults.filter((fault) => fault.keyword !== "anyOf");
  const fault = meaningful[0] ?? faults[0] ?? {};
  const parent = fieldOf(fault.instancePath ?? "");
  const inside = (name: string): string => (parent === "" ? name : `${parent}.${name}`);
  // Spellings belong to the fields of the call itself, not to those of objects inside.
  const top = parent === "" ? sent : null;
  if (fault.keyword === "additionalProperties") {
    const name = String(fault.params?.["additionalProperty"]);
    return badField(inside(name), notKnown(top === null ? null : likelyField(top, place, name)));
  }
  if (fault.keyword === "required") return missingField(String(fault.params?.["missingProperty"]), place, top, inside);
  const as = place === "params" ? undefined : sent?.written?.get(parent);
  const field = as?.name ?? (parent === "" ? place : parent);
  if (place === "body" && parent === "" && fault.keyword === "type" && fault.params?.["type"] === "object") return noObject;
  const isUnion = faults.some((candidate) => candidate.keyword === "anyOf" && candidate.instancePath === fault.instancePath);
  if (!isUnion) return problem400(field, expectation(fault, as));
  return problem400(field, [...new Set(meaningful.map((each) => expectation(each, as)))].join(" or "));
}

/** Often there is no body at all, or its content-type says that it is something else. */
const noObject = failure("bad_request", {
  values: { field: "body", expected: "expected a JSON object; send one, with the header content-type: application/json" },
  members: { field: "body", expected: "object" },
});

function problem400(field: string, expected: string): Failure {
  const plain = expected.replace(/^expected /, "");
  return failure("bad_request", { values: { field, expected: `expected ${plain}` }, members: { field, expected: plain } });
}

const byFastifyCode: Readonly<Record<string, { readonly code: ErrorCode; readonly field?: string; readonly expected?: string }>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: { code: "payload_too_large" },
  FST_ERR_CTP_INVALID_MEDIA_TYPE: { code: "bad_request", field: "content-type", expected: "application/json" },
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: { code: "bad_request", field: "content-length", expected: "the length of the body" },
  FST_ERR_BAD_URL: { code: "bad_request", field: "path", expected: "a path with valid percent-encoding" },
  FST_ERR_MAX_PARAM_LENGTH: { code: "uri_too_long" },
  FST_ERR_PARAM_LENGTH_EXCEEDED: { code: "uri_too_long" },
  FST_ERR_REOPENED_CLOSE_SERVER: { code: "stopping" },
};

/** Whatever was thrown on the way, as a failure; null when it is a fault of ours. */
export function failureOf(error: unknown, sent: Sent | null = null): Failure | null {
  if (error instanceof FailureError) return error.failure;
  const fault = error as FastifyFault;
  if (Array.isArray(fault.validation)) return fromAjv(fault.validation, fault.validationContext ?? "request", sent);
  const known = fault.code === undefined ? undefined : byFastifyCode[fault.code];
  if (known !== undefined) return known.field === undefined ? failure(known.code) : problem400(known.field, known.expected ?? "");
  if (typeof fault.statusCode === "number" && fault.statusCode >= 400 && fault.statusCode < 500)
    return problem400("request", fault.message ?? "not valid");
  return null;
}

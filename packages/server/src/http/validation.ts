import AjvCompiler from "@fastify/ajv-compiler";
import { httpLimits } from "@trivet/contract";
import type { FastifyInstance, FastifySchemaCompiler } from "fastify";

const encoder = new TextEncoder();
const bytesWithin =
  (max: number, min = 1) =>
  (value: string): boolean => {
    // A lone surrogate has no UTF-8 form: TextEncoder would replace it, and two names would become one.
    if (/\p{Surrogate}/u.test(value)) return false;
    if (value.length * 3 <= max) return value.length >= min;
    const { length } = encoder.encode(value);
    return length >= min && length <= max;
  };

type Build = (
  external: Record<string, never>,
  options: { readonly customOptions: Record<string, unknown> },
) => FastifySchemaCompiler<unknown>;

/** What was wrong is a field of the function. */
type Check = ReturnType<FastifySchemaCompiler<unknown>>;

/** Compiled for the first call of its route: all of them at the start were a second of processor time and many MiB that an idle node never gave back. */
function onFirstUse(compile: () => Check): Check {
  let compiled: Check | null = null;
  const check: Check = (value) => {
    compiled ??= compile();
    const fits = compiled(value);
    check.errors = compiled.errors ?? null;
    return fits;
  };
  return check;
}

/**
 * Two validators: bodies are taken literally, path and query are text and are coerced. With one coercing validator
 * `{"owner": 1}` would pass as "1" (recipes §4).
 */
export function useValidators(app: FastifyInstance): void {
  const formats = {
    "lock-name": bytesWithin(httpLimits.maxNameBytes),
    "owner-name": bytesWithin(httpLimits.maxOwnerBytes),
    label: bytesWithin(httpLimits.maxLabelBytes, 0),
    reason: bytesWithin(httpLimits.maxReasonBytes),
  };
  const build = AjvCompiler() as unknown as Build;
  const common = { removeAdditional: false, useDefaults: true, allErrors: false, strict: false, formats };
  const strict = build({}, { customOptions: { ...common, coerceTypes: false } });
  const loose = build({}, { customOptions: { ...common, coerceTypes: "array" } });
  app.setValidatorCompiler((route) => onFirstUse(() => (route.httpPart === "body" ? strict(route) : loose(route))));
  // Answers are built by our own code and checked against their schemas by the contract tests; a second encoder would only drop fields silently.
  app.setSerializerCompiler(() => (data) => JSON.stringify(data));
}

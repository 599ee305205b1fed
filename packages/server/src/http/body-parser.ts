import { errorCatalogue, httpLimits } from "@trivet/contract";
import type { FastifyInstance } from "fastify";
import { inspectJson } from "../json/strict-json.ts";
import { badField, FailureError } from "./answer.ts";

/** Fatal: replaced bytes would make two names one. A byte order mark is left in, and refused as what no JSON begins with. */
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function textOf(content: string | Buffer): string | null {
  try {
    return typeof content === "string" ? content : utf8.decode(content);
  } catch {
    return null;
  }
}

/**
 * JSON only. Nesting is counted before anything recurses (200 000 levels pass JSON.parse and break JSON.stringify, recipes §4), and
 * duplicate keys are refused: two readers of such a body may disagree about what it says.
 */
export function useJsonBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("application/json", { parseAs: "buffer", bodyLimit: httpLimits.maxBodyBytes }, (_request, content, done) => {
    const body = textOf(content);
    if (body === null) {
      done(new FailureError(badField("body", "JSON in UTF-8"), errorCatalogue.bad_request.status));
      return;
    }
    if (body.trim() === "") {
      // curl -X POST with only a content type: a call without body.
      done(null, undefined);
      return;
    }
    const fault = inspectJson(body, httpLimits.maxJsonDepth);
    if (fault === null) {
      done(null, JSON.parse(body));
      return;
    }
    const expected = fault.kind === "syntax" ? `valid JSON: ${fault.message} at position ${fault.position + 1}` : fault.message;
    done(new FailureError(badField(fault.field ?? "body", expected), errorCatalogue.bad_request.status));
  });
}

import type { requestRoutes } from "@trivet/contract";
import { failure, ok } from "./answer.ts";
import { unavailable, type Some } from "./calls.ts";

/** Numbers of a result are fences, ids or counts; what may pass 2^53 in another language travels as text. */
function resultJson(value: unknown, key = ""): unknown {
  if (typeof value === "number" && (key === "fence" || key === "session")) return String(value);
  if (Array.isArray(value)) return value.map((item) => resultJson(item));
  if (typeof value === "object" && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, resultJson(item, name)]));
  return value;
}

export const requestHandlers: Some<keyof typeof requestRoutes> = {
  getRequest: ({ params }, context) =>
    new Promise((resolve) => {
      const id = params.request_id;
      context.node.request(id, (outcome) => {
        switch (outcome.type) {
          case "answered":
            resolve(ok({ request_id: id, status: "executed", result: resultJson(outcome.result) }));
            return;
          case "pending":
          case "unknown":
            resolve(ok({ request_id: id, status: "pending", result: null }));
            return;
          case "not-executed":
            resolve(ok({ request_id: id, status: "not_executed", result: null }));
            return;
          case "gone":
            resolve(failure("request_expired", { values: { id } }));
            return;
          case "invalid":
            resolve(failure("request_not_found", { values: { id } }));
            return;
          case "unavailable":
            resolve(unavailable(context, outcome));
        }
      });
    }),
};

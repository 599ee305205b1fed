import type { lockRoutes } from "@trivet/contract";
import { ok } from "../answer.ts";
import { isFailure, read, type Some } from "../calls.ts";
import { graphJson } from "../views.ts";

export const lockGraphHandlers: Some<Extract<keyof typeof lockRoutes, "lockGraph">> = {
  lockGraph: async ({ query }, context) => {
    const graph = await read(context, query.consistency ?? "linearizable", (view) => graphJson(context, view).json);
    return isFailure(graph) ? graph : ok(graph);
  },
};

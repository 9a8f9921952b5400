// The graph view's state in the address: which service it is narrowed to, which call is looked at, picture or table.

import type { Edge } from "../api/types";
import { paths, withParams } from "../lib/router";

type EdgeName = Pick<Edge, "from_service" | "to_service">;

/** What the address says. */
export type GraphState = { service: string | null; edge: EdgeName | null; table: boolean };

export function graphState(params: URLSearchParams): GraphState {
  const from = params.get("from");
  const to = params.get("to");
  return {
    service: params.get("service"),
    edge: from !== null && to !== null ? { from_service: from, to_service: to } : null,
    table: params.get("view") === "table",
  };
}

/** The parameters that `changes` stand for; what is not named stays as it is. */
export function graphParams(changes: Partial<GraphState>): Record<string, string | null> {
  const params: Record<string, string | null> = {};
  if (changes.service !== undefined) params["service"] = changes.service;
  if (changes.edge !== undefined) {
    params["from"] = changes.edge?.from_service ?? null;
    params["to"] = changes.edge?.to_service ?? null;
  }
  if (changes.table !== undefined) params["view"] = changes.table ? "table" : null;
  return params;
}

/** The address of the graph view after `changes`; from another view, with that view's time window alone. */
export function graphHref(changes: Partial<GraphState>): string {
  const { pathname, search } = window.location;
  const old = new URLSearchParams(search);
  const kept = pathname === paths.graph ? search : withParams("", { window: old.get("window") });
  return paths.graph + withParams(kept, graphParams(changes));
}

// The graph view's state in the address: which service it is narrowed to, which call is looked at, picture or table.

import { paths, withParams } from "../lib/router";
import type { EdgeName } from "./model";

/** What the address says. */
export type GraphState = { service: string | null; edge: EdgeName | null; environment: string | null; table: boolean };

export function graphState(params: URLSearchParams): GraphState {
  const from = params.get("from");
  const to = params.get("to");
  return {
    service: params.get("service"),
    edge: from !== null && to !== null ? { from, to, link: params.get("link") } : null,
    environment: params.get("environment"),
    table: params.get("view") === "table",
  };
}

/** The parameters that `changes` stand for; what is not named stays as it is. */
export function graphParams(changes: Partial<GraphState>): Record<string, string | null> {
  const params: Record<string, string | null> = {};
  if (changes.service !== undefined) params["service"] = changes.service;
  if (changes.environment !== undefined) params["environment"] = changes.environment;
  if (changes.edge !== undefined) {
    params["from"] = changes.edge?.from ?? null;
    params["to"] = changes.edge?.to ?? null;
    params["link"] = changes.edge?.link ?? null;
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

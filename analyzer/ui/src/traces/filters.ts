// The list's filters as they stand in the address, and as the analyzer wants them.

import { paths, withParams } from "../lib/router";
import { windowNamed } from "../lib/window";

export const PAGE_SIZE = 50;

/** What the address says. Numbers are ms. */
export type Filters = {
  service: string;
  operation: string;
  /** Both or neither: a call of the graph. */
  caller: string;
  callee: string;
  min: string;
  max: string;
  error: "" | "true" | "false";
  window: string;
  page: number;
};

/** Reads the address; what makes no sense there counts as not said. */
export function filtersOf(params: URLSearchParams): Filters {
  const error = params.get("error");
  const page = Number(params.get("page"));
  const [caller, callee] = [params.get("caller") ?? "", params.get("callee") ?? ""];
  const call = caller !== "" && callee !== "";
  return {
    service: params.get("service") ?? "",
    operation: params.get("operation") ?? "",
    caller: call ? caller : "",
    callee: call ? callee : "",
    min: params.get("min") ?? "",
    max: params.get("max") ?? "",
    error: error === "true" || error === "false" ? error : "",
    window: windowNamed(params.get("window"))?.name ?? "",
    page: Number.isInteger(page) && page >= 1 ? page : 1,
  };
}

/** A duration as typed: `250`, `250ms`, `1.5 s`, `80us`; in ms. `null` for nothing, `undefined` for nonsense. */
export function typedDuration(text: string): number | null | undefined {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  const [, number, unit = "ms"] = /^(\d+(?:[.,]\d*)?|[.,]\d+)\s*(ns|us|µs|ms|s|m|min)?$/i.exec(trimmed) ?? [];
  if (number === undefined) return undefined;
  const factor = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, min: 6e4 }[unit.toLowerCase()] ?? 1;
  return Number(number.replace(",", ".")) * factor;
}

/** Whether anything narrows the list. */
export function narrows(filters: Filters): boolean {
  const { service, operation, caller, min, max, error, window } = filters;
  return [service, operation, caller, min, max, error, window].some((value) => value !== "");
}

/** What names the list that the filters ask for; [`addressOf`] makes the analyzer's address of it. */
export function listPath(filters: Filters): string {
  const min = typedDuration(filters.min);
  const max = typedDuration(filters.max);
  return `/api/traces${withParams("", {
    page: String(filters.page),
    page_size: String(PAGE_SIZE),
    service: filters.service,
    operation: filters.operation,
    caller: filters.caller,
    callee: filters.callee,
    min_duration_ms: min === null || min === undefined ? null : String(min),
    max_duration_ms: max === null || max === undefined ? null : String(max),
    error: filters.error,
    window: filters.window,
  })}`;
}

/** The address to ask now: the window's name replaced by the time it begins at. */
export function addressOf(path: string, now = Date.now()): string {
  const url = new URL(path, "http://analyzer");
  const window = windowNamed(url.searchParams.get("window"));
  const from = window ? new Date(now - window.minutes * 60_000).toISOString() : null;
  return url.pathname + withParams(url.search, { window: null, from });
}

/** The address of the list with these filters. */
export function tracesHref(filters: Partial<Record<"service" | "operation" | "caller" | "callee" | "window", string>>) {
  return paths.traces + withParams("", filters);
}

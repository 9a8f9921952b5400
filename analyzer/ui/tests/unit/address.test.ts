import { describe, expect, test } from "vitest";
import { graphParams, graphState } from "../../src/graph/address";
import { parseRoute, withParams } from "../../src/lib/router";
import { addressOf, filtersOf, listPath, narrows, tracesHref, typedDuration } from "../../src/traces/filters";
import { rangeOf, rangeText } from "../../src/traces/zoom";

describe("routes", () => {
  test.each([
    ["/", { name: "overview" }],
    ["/insights/dependency-graph", { name: "graph" }],
    ["/insights/dependency-graph/", { name: "graph" }],
    ["/traces", { name: "traces" }],
    ["/traces/4bf92f35", { name: "trace", id: "4bf92f35" }],
    ["/traces/a%20b", { name: "trace", id: "a b" }],
    ["/traces/%", { name: "unknown", path: "/traces/%" }],
    ["/traces/a/b", { name: "unknown", path: "/traces/a/b" }],
    ["/elsewhere", { name: "unknown", path: "/elsewhere" }],
  ])("%s", (path, route) => expect(parseRoute(path)).toEqual(route));

  test("parameters are changed one by one", () => {
    expect(withParams("?a=1&b=2", { b: "3", c: "x y" })).toBe("?a=1&b=3&c=x+y");
    expect(withParams("?a=1&b=2", { a: null, b: "" })).toBe("");
  });
});

describe("the graph's state", () => {
  test("survives the way through the address", () => {
    const edge = { from: "a→b", to: "c (shop, staging)", link: "Tcp" };
    const state = { service: "a&b", edge, environment: "staging", table: true };
    expect(graphState(new URLSearchParams(withParams("", graphParams(state))))).toEqual(state);
  });

  test("is everything, drawn, in an empty address", () => {
    expect(graphState(new URLSearchParams())).toEqual({
      service: null,
      edge: null,
      environment: null,
      table: false,
    });
  });

  test("changes name only what they change", () => {
    expect(graphParams({ edge: null })).toEqual({ from: null, to: null, link: null });
  });
});

describe("filters of the list", () => {
  test.each([
    ["", null],
    ["250", 250],
    ["250ms", 250],
    [" 1.5 s ", 1500],
    ["1,5s", 1500],
    ["80us", 0.08],
    ["80 µs", 0.08],
    [".5 S", 500],
    ["2min", 120_000],
    ["abc", undefined],
    ["-5", undefined],
    ["5 parsecs", undefined],
  ])("%j as a duration", (text, ms) => {
    const typed = typedDuration(text);
    if (typeof ms === "number") expect(typed).toBeCloseTo(ms, 9);
    else expect(typed).toBe(ms);
  });

  test("become the analyzer's", () => {
    const filters = filtersOf(
      new URLSearchParams("service=api&operation=GET /x&min=1s&max=abc&error=true&window=1h&page=3"),
    );
    expect(narrows(filters)).toBe(true);
    const path = listPath(filters);
    expect(path).toBe(
      "/api/traces?page=3&page_size=50&service=api&operation=GET+%2Fx&min_duration_ms=1000&error=true&window=1h",
    );
    expect(addressOf(path, Date.parse("2026-11-22T12:00:00Z"))).toBe(
      "/api/traces?page=3&page_size=50&service=api&operation=GET+%2Fx&min_duration_ms=1000&error=true&from=2026-11-22T11%3A00%3A00.000Z",
    );
  });

  test("a call of the graph has both ends or is none", () => {
    const both = filtersOf(new URLSearchParams("caller=order&callee=payment"));
    expect(narrows(both)).toBe(true);
    expect(listPath(both)).toBe("/api/traces?page=1&page_size=50&caller=order&callee=payment");
    expect(narrows(filtersOf(new URLSearchParams("caller=order")))).toBe(false);
    expect(tracesHref({ caller: "a", callee: "b", window: "1h" })).toBe("/traces?caller=a&callee=b&window=1h");
  });

  test("nonsense in the address counts as not said", () => {
    const filters = filtersOf(new URLSearchParams("page=-1&error=maybe&window=blue"));
    expect(filters).toMatchObject({ page: 1, error: "", window: "" });
    expect(narrows(filters)).toBe(false);
  });
});

test.each([
  ["61.5-214.5", { from: 61.5e6, to: 214.5e6 }],
  ["-1-5", { from: -1e6, to: 5e6 }],
  ["5-5", null],
  ["x", null],
  [null, null],
])("the zoom %s", (text, range) => {
  expect(rangeOf(text)).toEqual(range);
  if (range) expect(rangeText(range)).toBe(text);
});

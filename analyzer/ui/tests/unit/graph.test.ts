import { describe, expect, test } from "vitest";
import { arrowHead, bestLayout, COMPACT, FULL, layout, smoothPath } from "../../src/graph/layout";
import {
  around,
  certaintyWords,
  countedWords,
  edgeCertainty,
  edgeLabel,
  edgeNamed,
  environments,
  type Graph,
  graphOf,
  nameOf,
} from "../../src/graph/model";
import { assignHues, HUES } from "../../src/lib/services";
import { edges } from "../fixtures/shop";

const answer = edges();
const whole = graphOf(answer);
const arrows = (graph: Graph) => graph.edges.map((edge) => `${edge.from.id} -> ${edge.to.id}`);
const names = (graph: Graph) => graph.nodes.map((node) => node.id);

describe("a filter", () => {
  test("leaves the service, its neighbours and the edges that touch it", () => {
    const graph = around(whole, "order");
    expect(arrows(graph)).toEqual(["api -> order", "order -> payment"]);
    expect(names(graph)).toEqual(["api", "order", "payment"]);
  });

  test("for a service that is not there leaves nothing", () => {
    expect(around(whole, "nobody")).toEqual({ nodes: [], edges: [] });
  });

  test("is off without a service", () => expect(around(whole, null)).toBe(whole));
});

describe("services that share a name", () => {
  const [node] = answer.nodes;
  const [edge] = answer.edges;
  if (!node || !edge) throw new Error("the fixture is empty");
  const at = (name: string, environment: string | null, namespace: string | null = null) => ({
    ...node,
    name,
    environment,
    namespace,
  });
  const call = (from: string, to: string, environment: string | null, link_type = "Http") => {
    const to_environment = to === "db" ? null : environment;
    return { ...edge, from_service: from, to_service: to, environment, to_environment, link_type };
  };
  const twice = {
    ...answer,
    nodes: [at("api", "live"), at("api", "staging"), at("auth", "live"), at("auth", "staging"), at("db", null)],
    edges: [
      call("api", "auth", "live"),
      call("api", "auth", "staging"),
      call("api", "db", "staging"),
      call("api", "db", "staging", "Tcp"),
    ],
    entry_points: answer.entry_points.map((entry) => ({ ...entry, service: "api", environment: "staging" })),
  };
  const graph = graphOf(twice);

  test("stand apart, with what tells them apart in their names", () => {
    expect(names(graph)).toEqual(["api (live)", "api (staging)", "auth (live)", "auth (staging)", "db"]);
    expect(arrows(graph)).toEqual([
      "api (live) -> auth (live)",
      "api (staging) -> auth (staging)",
      "api (staging) -> db",
      "api (staging) -> db",
    ]);
    expect(new Set(graph.edges.map((one) => one.id)).size).toBe(4);
  });

  test("are called from outside each for itself", () => {
    expect(graph.nodes.filter((one) => one.entry).map((one) => one.id)).toEqual(["api (staging)"]);
  });

  test("call each other across environments where that is said", () => {
    const across = { ...call("api", "auth", "live"), to_environment: "staging" };
    expect(arrows(graphOf({ ...twice, edges: [across] }))).toEqual(["api (live) -> auth (staging)"]);
  });

  test("are all meant by their bare name, one by the long one", () => {
    expect(around(graph, "auth").edges).toHaveLength(2);
    expect(around(graph, "auth (live)").edges).toHaveLength(1);
  });

  test("are told apart by choosing an environment", () => {
    expect(environments(twice)).toEqual(["live", "staging"]);
    expect(names(graphOf(twice, "live"))).toEqual(["api", "auth", "db"]);
    expect(arrows(graphOf(twice, "live"))).toEqual(["api -> auth"]);
  });

  test("and every edge is found again by what the address says of it", () => {
    for (const one of graph.edges) expect(edgeNamed(graph, nameOf(one))).toBe(one);
    expect(edgeNamed(graph, null)).toBeUndefined();
    expect(edgeNamed(graph, { from: "api", to: "nobody", link: null })).toBeUndefined();
  });
});

describe("certainty", () => {
  test.each([
    [{ certain: 10, likely: 0, unlinked: 0 }, "certain", "all certain"],
    [{ certain: 999, likely: 1, unlinked: 0 }, "likely", "99.9% certain, 0.1% likely"],
    [{ certain: 0, likely: 49, unlinked: 51 }, "unlinked", "49% likely, 51% unlinked"],
    [{ certain: 0, likely: 50, unlinked: 50 }, "likely", "50% likely, 50% unlinked"],
    [{ certain: 0, likely: 0, unlinked: 0 }, "unlinked", "cause not reported"],
  ])("of %j", (links, kind, words) => {
    expect(edgeCertainty(links)).toBe(kind);
    expect(certaintyWords(links)).toBe(words);
  });
});

test("no share of counters is shown that could not be", () => {
  expect(countedWords({ spans_seen: 180, counted: 187 })).toBe("of 187 counted by sidecars");
  expect(countedWords({ spans_seen: 187, counted: 180 })).toBe(
    "(sidecars' counters follow every few seconds: 180 so far)",
  );
  expect(countedWords({ spans_seen: 187, counted: null })).toBe("");
});

test("where there is little room, labels are brief", () => {
  const edge = answer.edges.find((one) => one.from_service === "order");
  expect(edge && edgeLabel(edge, true)).toMatchObject({ latency: "13.2 · 29.9 · 46.1 ms", certainty: "95% likely" });
});

test("an edge's label has calls, errors, latencies and certainty", () => {
  const edge = answer.edges.find((one) => one.from_service === "order");
  expect(edge && edgeLabel(edge)).toEqual({
    calls: "1,771 calls",
    errors: "1.2% errors",
    latency: "p50 13.2 · p95 29.9 · p99 46.1 ms",
    certainty: "2.6% certain, 95% likely, 2% unlinked",
  });
});

describe("the layout", () => {
  const graph = whole;

  test.each([
    ["LR", FULL],
    ["TB", FULL],
    ["TB", COMPACT],
  ] as const)("in direction %s keeps nodes and labels apart", (direction, sizes) => {
    const placed = layout(graph, direction, sizes);
    const boxes = [
      ...[...placed.nodes.values()].map((at) => ({ at, ...sizes.node })),
      ...[...placed.labels.values()].map((at) => ({ at, ...sizes.label })),
    ];
    expect(boxes).toHaveLength(graph.nodes.length + graph.edges.length);
    for (const [i, a] of boxes.entries()) {
      for (const b of boxes.slice(i + 1)) {
        const apart =
          Math.abs(a.at.x - b.at.x) >= (a.width + b.width) / 2 - 0.1 ||
          Math.abs(a.at.y - b.at.y) >= (a.height + b.height) / 2 - 0.1;
        expect(apart, JSON.stringify([a, b])).toBe(true);
      }
    }
  });

  test("does not depend on the order of the answer", () => {
    const turned = { ...graph, nodes: graph.nodes.toReversed(), edges: graph.edges.toReversed() };
    expect(layout(turned, "TB")).toEqual(layout(graph, "TB"));
  });

  test("is tall in a tall space and wide in a wide one", () => {
    expect(bestLayout(graph, { width: 390, height: 800 }).direction).toBe("TB");
    expect(bestLayout(graph, { width: 2400, height: 500 }).direction).toBe("LR");
  });

  test("survives circles, calls to oneself, and two kinds of call between the same two", () => {
    const [first] = answer.edges;
    if (!first) throw new Error("no edge");
    const odd = graphOf({
      ...answer,
      edges: [
        ...answer.edges,
        { ...first, from_service: "payment", to_service: "frontend" },
        { ...first, from_service: "api", to_service: "api" },
        { ...first, from_service: "api", to_service: "order", link_type: "Tcp" },
        { ...first, from_service: "api", to_service: "unheard of" },
      ],
    });
    expect(layout(odd, "LR").lines.size).toBe(answer.edges.length + 3);
  });

  test("lines are smooth and arrows point along their end", () => {
    expect(
      smoothPath([
        { x: 0, y: 0 },
        { x: 10, y: 0 },
      ]),
    ).toBe("M0,0L10,0");
    expect(
      smoothPath([
        { x: 0, y: 0 },
        { x: 10, y: 0 },
        { x: 10, y: 10 },
      ]),
    ).toBe("M0,0Q10,0 10,10");
    expect(smoothPath([])).toBe("");
    expect(
      arrowHead(
        [
          { x: 0, y: 0 },
          { x: 10, y: 0 },
        ],
        10,
      ),
    ).toBe("M10,0L0,5.5L0,-5.5Z");
    expect(arrowHead([{ x: 0, y: 0 }])).toBe("");
  });
});

test("services have colours of their own while there are colours left, in whatever order they come", () => {
  const names = Array.from({ length: HUES }, (_, n) => `service-${n}`);
  const hues = assignHues(names);
  expect(new Set(hues.values()).size).toBe(HUES);
  expect(assignHues(names.toReversed())).toEqual(hues);
  expect(assignHues(Array.from({ length: 100 }, (_, n) => `s${n}`)).size).toBe(100);
});

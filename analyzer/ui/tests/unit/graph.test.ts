import { describe, expect, test } from "vitest";
import { arrowHead, bestLayout, COMPACT, FULL, layout, smoothPath } from "../../src/graph/layout";
import { certaintyWords, edgeCertainty, edgeLabel, graphOf } from "../../src/graph/model";
import { assignHues, HUES } from "../../src/lib/services";
import { edges } from "../fixtures/shop";

const answer = edges();

describe("a filter", () => {
  test("leaves the service, its neighbours and the edges that touch it", () => {
    const graph = graphOf(answer, "order");
    expect(graph.edges.map((edge) => `${edge.from_service} -> ${edge.to_service}`)).toEqual([
      "api -> order",
      "order -> payment",
    ]);
    expect(graph.nodes.map((node) => node.name)).toEqual(["api", "order", "payment"]);
  });

  test("for a service that is not there leaves nothing", () => {
    expect(graphOf(answer, "nobody")).toMatchObject({ nodes: [], edges: [] });
  });

  test("is off without a service", () => expect(graphOf(answer, null).edges).toBe(answer.edges));
});

describe("certainty", () => {
  test.each([
    [{ certain: 10, likely: 0, unlinked: 0 }, "certain", "all certain"],
    [{ certain: 999, likely: 1, unlinked: 0 }, "likely", "99.9% certain, 0.1% likely"],
    [{ certain: 0, likely: 49, unlinked: 51 }, "unlinked", "49% likely, 51% unlinked"],
    [{ certain: 0, likely: 50, unlinked: 50 }, "likely", "50% likely, 50% unlinked"],
    [{ certain: 0, likely: 0, unlinked: 0 }, "certain", "no links"],
  ])("of %j", (links, kind, words) => {
    expect(edgeCertainty(links)).toBe(kind);
    expect(certaintyWords(links)).toBe(words);
  });
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
  const graph = graphOf(answer, null);

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

  test("survives circles, calls to oneself, and edges of unknown nodes", () => {
    const [first] = graph.edges;
    if (!first) throw new Error("no edge");
    const odd = {
      ...graph,
      edges: [
        ...graph.edges,
        { ...first, from_service: "payment", to_service: "frontend" },
        { ...first, from_service: "api", to_service: "api" },
        { ...first, from_service: "api", to_service: "unheard of" },
      ],
    };
    expect(layout(odd, "LR").lines.size).toBe(graph.edges.length + 2);
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

import { describe, expect, test } from "vitest";
import type { PathStep } from "../../src/api/types";
import {
  bar,
  buildTree,
  clampRange,
  extent,
  hops,
  hopsByLowerRow,
  hopsInSight,
  stretches,
  stretchesByRow,
  type TreeSpan,
  ticks,
  visibleRows,
  withAncestors,
  zoom,
} from "../../src/traces/geometry";
import { commandOf } from "../../src/traces/keys";
import { logScale } from "../../src/traces/scale";
import { checkout, large } from "../fixtures/shop";

/** Spans as `id<parent kind start end`: "b<a c 1 9" is a client span b below a, from 1 to 9. */
function spans(...texts: string[]): TreeSpan[] {
  return texts.map((text) => {
    const [ids = "", kind = "s", start = "0", end = "1"] = text.split(" ");
    const [span_id = "", parent] = ids.split("<");
    return {
      span_id,
      parent_span_id: parent ?? null,
      kind: kind === "c" ? "client" : kind === "i" ? "internal" : "server",
      start_ns: Number(start),
      end_ns: Number(end),
    };
  });
}

/** Steps as `id start end` or `id:kind start end`. */
function steps(...texts: string[]): PathStep[] {
  return texts.map((text) => {
    const [id = "", start = "0", end = "0"] = text.split(" ");
    const [span = "", kind = "server"] = id.split(":");
    const [start_ns, end_ns] = [Number(start), Number(end)];
    const self_ms = (end_ns - start_ns) / 1e6;
    return {
      id: span,
      kind,
      location: "",
      timestamp: "",
      duration_ms: self_ms,
      service: "",
      self_ms,
      start_ns,
      end_ns,
      part: "own",
    };
  });
}

/** The tree as text, `a(b(c)d)`. */
function drawn(list: TreeSpan[]): string {
  const { children, parent } = buildTree(list);
  const draw = (index: number): string => {
    const below = (children[index] ?? []).map(draw).join(" ");
    return (list[index]?.span_id ?? "?") + (below && `(${below})`);
  };
  return list
    .map((_, index) => index)
    .filter((index) => (parent[index] ?? -1) < 0)
    .map(draw)
    .join(" ");
}

describe("the tree", () => {
  test.each([
    [["a s 0 9", "b<a c 1 8", "c<b s 2 7"], "a(b(c))"],
    // Siblings stand by their start, whatever the order they came in.
    [["a s 0 9", "c<a c 5 8", "b<a c 1 4"], "a(b c)"],
    // Children may come before their parents.
    [["b<a c 1 2", "a s 0 9"], "a(b)"],
    // A parent that never came.
    [["b<x c 1 2", "c<b s 1 2"], "b(c)"],
    // Zipkin: client and server share an id; the server hangs below the client, its calls below it.
    [["a s 0 9", "b<a c 1 8", "b<a s 2 7", "d<b c 3 4"], "a(b(b(d)))"],
    // Circles cannot hang the page.
    [["a<a s 0 1"], "a"],
    [[], ""],
  ])("of %j is %s", (texts, tree) => expect(drawn(spans(...texts))).toBe(tree));

  test("of a circle still holds every span once", () => {
    const tree = buildTree(spans("a<c s 0 1", "b<a s 0 1", "c<b s 0 1", "d<c s 0 1"));
    expect(tree.order.toSorted()).toEqual([0, 1, 2, 3]);
  });

  test("of a chain of 100,000 spans is built without recursion", () => {
    const chain = Array.from({ length: 100_000 }, (_, n): TreeSpan => {
      return {
        span_id: `${n}`,
        parent_span_id: n ? `${n - 1}` : null,
        kind: "internal",
        start_ns: n,
        end_ns: 200_000 - n,
      };
    });
    expect(buildTree(chain).depth.at(-1)).toBe(99_999);
  });
});

describe("rows", () => {
  const tree = buildTree(spans("a s 0 9", "b<a c 1 4", "c<b s 2 3", "d<a c 5 8"));
  test.each([
    [[], undefined, [0, 1, 2, 3]],
    [[1], undefined, [0, 1, 3]],
    [[0], undefined, [0]],
    [[], [0, 3], [0, 3]],
    [[1], [0, 1, 2], [0, 1]],
  ])("with %j folded and %j wanted are %j", (closed, wanted, rows) => {
    expect(visibleRows(tree, new Set(closed), wanted && new Set(wanted))).toEqual(rows);
  });

  test("above a span are all its ancestors", () => expect(withAncestors(tree, [2])).toEqual(new Set([2, 1, 0])));
});

describe("the critical path", () => {
  const list = spans("a s 0 100", "b<a c 10 40", "c<b s 12 38", "d<a c 50 90");
  const tree = buildTree(list);
  const path = stretches(
    steps("a 0 10", "b:client 10 12", "c 12 38", "b:client 38 40", "a 40 50", "d:client 50 90", "a 90 100"),
    list,
  );
  const all = [0, 1, 2, 3];

  test("steps from row to row where its time does", () => {
    expect(hops(path, all, tree).map(({ at_ns, from, to }) => `${at_ns} ${from}>${to}`)).toEqual([
      "10 0>1",
      "12 1>2",
      "38 2>1",
      "40 1>0",
      "50 0>3",
      "90 3>0",
    ]);
  });

  test("runs along the folded span when its children are folded away", () => {
    const rows = visibleRows(tree, new Set([1]));
    expect(hops(path, rows, tree).map(({ at_ns, from, to }) => `${at_ns} ${from}>${to}`)).toEqual([
      "10 0>1",
      "40 1>0",
      "50 0>2",
      "90 2>0",
    ]);
    expect(stretchesByRow(path, rows, tree, 0).get(1)).toMatchObject([{ start_ns: 10, end_ns: 40 }]);
  });

  test("joins stretches that lie closer than a pixel", () => {
    const onRoot = (gap: number) =>
      stretchesByRow(path, all, tree, gap)
        .get(0)
        ?.map((one) => [one.start_ns, one.end_ns]);
    expect(onRoot(0)).toEqual([
      [0, 10],
      [40, 50],
      [90, 100],
    ]);
    expect(onRoot(35)).toEqual([
      [0, 50],
      [90, 100],
    ]);
  });

  test("leaves out steps of spans that are not there", () => expect(stretches(steps("zz 0 1"), list)).toEqual([]));

  test("of the fixture tiles its root", () => {
    const trace = checkout();
    const tiles = stretches(trace.critical_path?.path ?? [], trace.spans);
    const root = trace.spans[0];
    let at = root?.start_ns;
    for (const tile of tiles) {
      expect(tile.start_ns).toBe(at);
      at = tile.end_ns;
    }
    expect(at).toBe(root?.end_ns);
  });

  test("of ten thousand spans is not drawn where nobody looks", () => {
    const trace = large();
    const wide = buildTree(trace.spans);
    const jumps = hops(stretches(trace.critical_path?.path ?? [], trace.spans), wide.order, wide);
    const seen = hopsInSight(jumps, hopsByLowerRow(jumps), 5000, 5040);
    expect(jumps.length).toBeGreaterThan(19_000);
    expect(seen.length).toBeLessThan(200);
    expect(seen.every((hop) => Math.max(hop.from, hop.to) >= 5000 && Math.max(hop.from, hop.to) <= 5040)).toBe(true);
  });
});

describe("time", () => {
  const whole = { from: 0, to: 1_000_000 };

  test("spans from the first start to the last end, and is never empty", () => {
    expect(extent(spans("a s 5 9", "b s -2 7"))).toEqual({ from: -2, to: 9 });
    expect(extent(spans("a s 5 5"))).toEqual({ from: 5, to: 6 });
    expect(extent([])).toEqual({ from: 0, to: 1 });
  });

  test("bars are cut at the edges and missing outside", () => {
    const range = { from: 100, to: 200 };
    expect(bar(range, 120, 140)).toEqual({ left: 0.2, width: 0.2 });
    expect(bar(range, 50, 150)).toEqual({ left: 0, width: 0.5 });
    expect(bar(range, 0, 1000)).toEqual({ left: 0, width: 1 });
    expect(bar(range, 0, 99)).toBeNull();
    expect(bar(range, 201, 300)).toBeNull();
  });

  test("zooming keeps its middle and stays inside", () => {
    expect(zoom(whole, whole, 0.5)).toEqual({ from: 250_000, to: 750_000 });
    expect(zoom({ from: 0, to: 100_000 }, whole, 2)).toEqual({ from: 0, to: 200_000 });
    expect(zoom(whole, whole, 4)).toEqual(whole);
    expect(clampRange({ from: 999_999, to: 2_000_000 }, whole)).toEqual({ from: 0, to: 1_000_000 });
    expect(clampRange({ from: 10, to: 11 }, whole, 1000)).toEqual({ from: 10, to: 1010 });
  });

  test.each([
    [{ from: 0, to: 862e6 }, 5, ["0", "200 ms", "400 ms", "600 ms", "800 ms"]],
    [{ from: 0, to: 4e9 }, 5, ["0", "1 s", "2 s", "3 s", "4 s"]],
    [{ from: 61.5e6, to: 63e6 }, 4, ["61.5 ms", "62.0 ms", "62.5 ms", "63.0 ms"]],
    [{ from: 0, to: 900 }, 3, ["0", "500 ns"]],
    [{ from: -1e6, to: 1e6 }, 4, ["-1000 µs", "-500 µs", "0", "500 µs", "1000 µs"]],
    [{ from: 61.5e6, to: 61.502e6 }, 2, ["61.500 ms", "61.501 ms", "61.502 ms"]],
  ])("marks of %j", (range, most, labels) => {
    expect(ticks(range, most).map((mark) => mark.label)).toEqual(labels);
  });
});

describe("keys", () => {
  const tree = buildTree(spans("a s 0 9", "b<a c 1 4", "c<b s 2 3", "d<a c 5 8"));
  const at = (selected: number, closed: number[] = []) => {
    const folded = new Set(closed);
    return { tree, rows: visibleRows(tree, folded), closed: folded, selected, page: 2 };
  };
  test.each([
    ["ArrowDown", at(-1), { select: 0 }],
    ["ArrowDown", at(1), { select: 2 }],
    ["ArrowDown", at(3), { select: 3 }],
    ["ArrowDown", at(1, [1]), { select: 3 }],
    ["ArrowUp", at(-1), { select: 0 }],
    ["ArrowUp", at(2), { select: 1 }],
    ["PageDown", at(0), { select: 2 }],
    ["PageUp", at(3), { select: 1 }],
    ["End", at(0), { select: 3 }],
    ["Home", at(3), { select: 0 }],
    ["ArrowLeft", at(1), { toggle: 1 }],
    ["ArrowLeft", at(1, [1]), { select: 0 }],
    ["ArrowLeft", at(2), { select: 1 }],
    ["ArrowLeft", at(0, [0]), null],
    ["ArrowRight", at(1, [1]), { toggle: 1 }],
    ["ArrowRight", at(1), { select: 2 }],
    ["ArrowRight", at(2), null],
    ["Enter", at(1), { toggle: 1 }],
    ["Escape", at(1), { select: -1 }],
    ["Escape", at(-1), null],
    ["0", at(1), { zoom: null }],
    ["x", at(1), null],
  ])("%s", (key, standing, command) => expect(commandOf(key, standing)).toEqual(command));
});

test("bars of the list: the longest is full, the shortest still there", () => {
  const scale = logScale([1, 10, 1000]);
  expect(scale(1000)).toBe(1);
  expect(scale(1)).toBeGreaterThan(0);
  expect(scale(10)).toBeGreaterThan(scale(1));
  expect(logScale([5, 5])(5)).toBe(1);
  expect(logScale([0])(0)).toBe(0);
});

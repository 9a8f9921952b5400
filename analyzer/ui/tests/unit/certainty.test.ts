import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { describe, expect, test } from "vitest";
import { leastSure, type TraceLinks } from "../../src/lib/certainty";
import { TraceCertainty } from "../../src/ui/parts";
import { lost, rows } from "../fixtures/shop";

const SURE: TraceLinks = { certainty: 1, origin: "entry", unlinked_calls: 0, span_count: 9 };

describe("a trace is as sure as the least sure of its links", () => {
  test.each<[Partial<TraceLinks>, string | undefined, string]>([
    [{}, "certain", "certain"],
    [{ certainty: 0.98 }, "likely", "p .98"],
    [{ unlinked_calls: 1 }, "unlinked", "unlinked"],
    [{ certainty: 0.98, unlinked_calls: 2 }, "unlinked", "unlinked"],
    [{ origin: "unlinked", unlinked_calls: 1 }, "unlinked", "unlinked"],
    [{ origin: "unlinked", unlinked_calls: 1, span_count: 1 }, "unlinked", "unlinked"],
    [{ origin: "missing" }, "certain", "certain"],
    [{ span_count: 1 }, undefined, "one span"],
    [{ span_count: 1, certainty: 0.98 }, "likely", "p .98"],
  ])("%j", (flaw, certainty, chip) => {
    const trace = { ...SURE, ...flaw };
    expect(leastSure(trace)?.certainty).toBe(certainty);
    const html = renderToStaticMarkup(createElement(TraceCertainty, { trace }));
    expect(html.replace(/<span class="hidden">.*?<\/span>/, "").replace(/<[^>]*>/g, "")).toBe(chip);
  });
});

test("a row that begins with a call of unknown cause says so, to eyes and ears", () => {
  const trace = rows().find((row) => row.trace_id === lost().trace_id);
  if (!trace) throw new Error("the fixture has no such row");
  expect(trace.certainty).toBe(1);
  const html = renderToStaticMarkup(createElement(TraceCertainty, { trace }));
  expect(html).toContain('class="chip unlinked"');
  expect(html).toContain('<span class="hidden"> begins with a call of unknown cause</span>');
});

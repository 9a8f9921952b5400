// The list of traces, and one trace.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { TraceList, TraceView } from "../../src/api/types";
import { shortId } from "../../src/lib/format";
import * as shop from "../fixtures/shop";
import { data } from "./analyzer";
import type { Check, Run } from "./checks";

/** A checkout that went through all five services. */
async function checkout({ url, stand }: Run): Promise<TraceView> {
  if (stand) return shop.checkout();
  for (let page = 1; page <= 20; page += 1) {
    const list = await data<TraceList>(url, `/api/traces?page=${page}&page_size=50&service=auth`);
    const row = list.traces.find((one) => one.service_count === 5 && one.root_service === "frontend");
    if (row) return data<TraceView>(url, `/api/traces/${row.trace_id}`);
    if (page >= list.total_pages) break;
  }
  throw new Error("no trace with all five services");
}

const rowsIn = (page: Page) => page.locator(".rows .row");

export const traces: Check[] = [
  [
    "the list shows traces and leads to one",
    async ({ open }) => {
      const page = await open("/traces");
      // Not the newest row, whichever that is: a trace of its own begins with a call of unknown cause.
      const first = page.locator(".trace-list tbody tr", { hasText: "frontend" }).first();
      await first.waitFor();
      assert.match((await first.textContent()) ?? "", /frontend.*(certain|unlinked|p )/s);
      await first.getByRole("link").click();
      await page.locator(".waterfall").waitFor();
      assert.match(page.url(), /\/traces\/[0-9a-f-]{36}$/);
    },
  ],
  [
    "a trace that begins with a call of unknown cause says so in the list and in its head",
    async ({ url, open }) => {
      const list = await data<TraceList>(url, "/api/traces?page_size=50");
      const lost = list.traces.find((row) => row.origin === "unlinked");
      if (!lost) return console.log("SKIPPED part: every call was linked, so no trace begins with one");
      const page = await open("/traces");
      const row = page.locator(".trace-list tbody tr", { hasText: shortId(lost.trace_id) });
      await row.waitFor();
      assert.match((await row.textContent()) ?? "", /unlinked begins with a call of unknown cause/);
      await page.goto(`${url}/traces/${lost.trace_id}`);
      const origin = page.locator(".trace-facts div", { hasText: "Origin" });
      assert.equal(await origin.locator(".chip.unlinked").textContent(), "unknown");
      await page.getByText(/the call that this trace begins with/).waitFor();
      const trace = await data<TraceView>(url, `/api/traces/${lost.trace_id}`);
      if (!trace.spans[0]?.links.length) return console.log("SKIPPED part: no candidate is kept");
      await page.getByRole("button", { name: /^Show the candidate/ }).click();
      await page.locator(".details .candidates li").first().waitFor();
    },
  ],
  [
    "filters narrow the list, stand in the address, and can be cleared",
    async ({ open }) => {
      const page = await open("/traces");
      await page.locator(".trace-list tbody tr").first().waitFor();
      await page.getByRole("combobox", { name: "Service", exact: true }).selectOption("auth");
      await page.waitForURL(/service=auth/);
      await page.getByLabel("Operation").fill("no such operation");
      await page.getByText("No trace matches").waitFor();
      assert.equal(new URL(page.url()).searchParams.get("operation"), "no such operation");
      await page.getByRole("button", { name: "Clear filters" }).click();
      await page.locator(".trace-list tbody tr").first().waitFor();
      assert.equal(new URL(page.url()).search, "");
      assert.equal(await page.getByLabel("Operation").inputValue(), "");
    },
  ],
  [
    "durations may be typed with units, and nonsense is marked and not sent",
    async ({ open }) => {
      const page = await open("/traces");
      const field = page.getByLabel("At least");
      await field.fill("abc");
      assert.equal(await field.getAttribute("aria-invalid"), "true");
      await field.fill("100000 s");
      await page.getByText("No trace matches").waitFor();
      assert.equal(new URL(page.url()).searchParams.get("min"), "100000 s");
    },
  ],
  [
    "a page of the list has an address of its own",
    async ({ url, open }) => {
      const list = await data<TraceList>(url, "/api/traces?page_size=50");
      if (list.total_pages < 2) return console.log("SKIPPED part: fewer than 51 traces, so there is no second page");
      const page = await open("/traces?page=2");
      await page.getByText(/^51–/).waitFor();
      await page.getByRole("link", { name: "Newer" }).click();
      await page.getByText(/^1–50/).waitFor();
      assert.equal(new URL(page.url()).search, "");
    },
  ],
  [
    "a trace shows its waterfall with the critical path on it",
    async (run) => {
      const trace = await checkout(run);
      const page = await run.open(`/traces/${trace.trace_id}`);
      await rowsIn(page).first().waitFor();
      assert.equal(await rowsIn(page).count(), trace.spans.length);
      assert.ok((await page.locator(".stretch").count()) >= 5, "too few stretches of the critical path are drawn");
      assert.ok((await page.locator(".hops line").count()) >= 4, "the critical path does not step between rows");
      const path = trace.critical_path;
      assert.ok(path);
      const shares = page.locator(".critical .shares tbody tr");
      assert.equal(await shares.count(), path.services.length);
      const largest = path.services[0];
      assert.match((await shares.first().textContent()) ?? "", new RegExp(`^${largest?.service}.*%$`));
      // Drawn where it is: the path's stretches begin at the root's start and end at its end.
      const [first, last, root] = await page.evaluate(() => {
        const edges = [...document.querySelectorAll(".stretch")].map((one) => one.getBoundingClientRect());
        const bar = document.querySelector(".row .bar")?.getBoundingClientRect();
        return [
          Math.min(...edges.map((e) => e.left)),
          Math.max(...edges.map((e) => e.right)),
          [bar?.left ?? 0, bar?.right ?? 0],
        ] as const;
      });
      assert.ok(
        Math.abs(first - root[0]) < 2 && Math.abs(last - root[1]) < 2.5,
        `path from ${first} to ${last}, root from ${root[0]} to ${root[1]}`,
      );
    },
  ],
  [
    "every span says how surely it is linked, by word or number",
    async (run) => {
      const trace = await checkout(run);
      const page = await run.open(`/traces/${trace.trace_id}`);
      await rowsIn(page).first().waitFor();
      const words = await page.locator(".row .link").allTextContents();
      assert.equal(words.length, trace.spans.length);
      for (const word of words) assert.match(word, /^(certain|unlinked|root|orphan|p [<>]?\.\d\d|p 1)$/);
      const likely = trace.spans.filter((span) => span.link.certainty === "likely").length;
      assert.equal(words.filter((word) => word.startsWith("p ")).length, likely);
    },
  ],
  [
    "selecting a span shows its details and puts it into the address",
    async (run) => {
      const trace = await checkout(run);
      const page = await run.open(`/traces/${trace.trace_id}`);
      await rowsIn(page).nth(1).click();
      const details = page.locator(".details");
      for (const part of ["Duration", "Link to its cause", "Attributes", "Vector clock"])
        await details.getByText(part, { exact: true }).waitFor();
      const chosen = new URL(page.url()).searchParams.get("span");
      assert.ok(trace.spans.some((span) => span.span_id === chosen));
      const shared = await run.open(new URL(page.url()).pathname + new URL(page.url()).search);
      await shared.locator(`.row.selected[data-span="${chosen}"]`).waitFor();
      await details.getByRole("button", { name: "Close details" }).click();
      await details.waitFor({ state: "detached" });
    },
  ],
  [
    "the waterfall works by keyboard: walk, fold, zoom",
    async (run) => {
      const trace = await checkout(run);
      const page = await run.open(`/traces/${trace.trace_id}`);
      await rowsIn(page).first().waitFor();
      const grid = page.getByRole("treegrid");
      await grid.focus();
      await page.keyboard.press("ArrowDown");
      await page.locator(".row.selected").waitFor();
      const active = await grid.getAttribute("aria-activedescendant");
      assert.equal(await page.locator(`#${active}`).getAttribute("aria-selected"), "true");
      await page.keyboard.press("ArrowLeft");
      await page.waitForFunction(() => document.querySelectorAll(".rows .row").length < 4);
      await page.keyboard.press("ArrowRight");
      await page.waitForFunction((n) => document.querySelectorAll(".rows .row").length === n, trace.spans.length);
      await page.keyboard.press("+");
      await page.waitForURL(/zoom=/);
      await page.keyboard.press("0");
      await page.waitForURL((url) => !url.search.includes("zoom"));
      await page.keyboard.press("Escape");
      await page.locator(".row.selected").waitFor({ state: "detached" });
    },
  ],
  [
    "ten thousand spans: few rows exist, the last is reached, scrolling stays smooth",
    async ({ stand, open }) => {
      if (!stand) return console.log("SKIPPED part: only the fixtures have a trace that large");
      const page = await open(`/traces/${shop.traceId(1)}`);
      await rowsIn(page).first().waitFor();
      const grid = page.getByRole("treegrid");
      assert.equal(await grid.getAttribute("aria-rowcount"), "10002");
      const median = await grid.evaluate(async (element) => {
        const frames: number[] = [];
        let last = performance.now();
        for (let i = 0; i < 60; i += 1) {
          element.scrollTop += 120;
          await new Promise(requestAnimationFrame);
          frames.push(performance.now() - last);
          last = performance.now();
        }
        return frames.sort((a, b) => a - b)[frames.length >> 1] ?? 0;
      });
      console.log(`        a frame takes ${median.toFixed(1)} ms (median) while scrolling`);
      // Far from what is seen on an idle machine (a screen's own 16.7 ms), near enough to notice work on hidden rows.
      assert.ok(median < 150, `${median} ms`);
      assert.ok((await rowsIn(page).count()) < 90, "rows out of sight exist");
      await grid.focus();
      await page.keyboard.press("End");
      await page.locator('.row.selected[aria-rowindex="10002"]').waitFor();
    },
  ],
];

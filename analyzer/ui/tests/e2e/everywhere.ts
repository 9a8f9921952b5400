// What holds on every view.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Page } from "playwright-core";
import type { TraceList } from "../../src/api/types";
import { data } from "./analyzer";
import type { Check, Run } from "./checks";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Every view, as address and as what is there when it is ready. */
async function views({ url }: Run): Promise<[path: string, ready: string][]> {
  const list = await data<TraceList>(url, "/api/traces?page_size=5");
  const trace = `/traces/${list.traces[0]?.trace_id}`;
  return [
    ["/?window=7d", ".overview"],
    ["/insights/dependency-graph?window=7d", ".graph-label"],
    ["/insights/dependency-graph?window=7d&service=api", ".recent a"],
    ["/insights/dependency-graph?window=7d&from=api&to=auth", ".graph-panel .link-bar"],
    ["/insights/dependency-graph?window=7d&view=table", ".graph-tables table"],
    ["/traces", ".trace-list tr"],
    ["/traces?operation=nothing", ".notice"],
    [trace, ".row"],
    [`${trace}?show=path`, ".row"],
    ["/nowhere", "h1"],
  ];
}

/** Violations of WCAG 2.2 AA and of axe's best practices, one line each. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    type Axe = {
      run: () => Promise<{
        violations: { id: string; help: string; nodes: { html: string; failureSummary?: string }[] }[];
      }>;
    };
    const found = await (window as unknown as { axe: Axe }).axe.run();
    return found.violations.map(
      (one) =>
        `${one.id}: ${one.help}: ${one.nodes.map((node) => `${node.html.slice(0, 160)} ${node.failureSummary ?? ""}`).join(" | ")}`,
    );
  });
}

export const everywhere: Check[] = [
  ...(["light", "dark"] as const).flatMap((colorScheme) =>
    [1440, 390].map(
      (width): Check => [
        `axe finds nothing on any view (${colorScheme}, ${width} px)`,
        async (run) => {
          const found: string[] = [];
          const page = await run.open("/", { colorScheme, viewport: { width, height: 900 } });
          for (const [path, ready] of await views(run)) {
            await page.goto(run.url + path);
            await page.locator(ready).first().waitFor();
            if (path.startsWith("/traces/")) {
              // With details open, too.
              await page.locator(".row").nth(1).click();
              await page.locator(".details").waitFor();
            }
            found.push(...(await violations(page)).map((line) => `${path} ${line}`));
          }
          assert.deepEqual(found, []);
        },
      ],
    ),
  ),
  [
    "no view is wider than the window, from 360 to 2560 px",
    async (run) => {
      const page = await run.open("/");
      const wide: string[] = [];
      for (const width of [360, 390, 600, 768, 1024, 1440, 2560]) {
        await page.setViewportSize({ width, height: 900 });
        for (const [path, ready] of await views(run)) {
          await page.goto(run.url + path);
          await page.locator(ready).first().waitFor();
          const over = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          if (over > 0) wide.push(`${path} at ${width}: ${over} px too wide`);
        }
      }
      assert.deepEqual(wide, []);
    },
  ],
  [
    "the overview names services, calls and links",
    async ({ edges, open }) => {
      const page = await open("/?window=7d");
      await page.getByRole("table", { name: /Services with/ }).waitFor();
      const names = await page
        .getByRole("table", { name: /Services with/ })
        .locator("tbody th")
        .allTextContents();
      assert.deepEqual(names.sort(), [...new Set(edges.flatMap((edge) => edge.split(" -> ")))].sort());
      for (const kind of ["Certain", "Likely", "Unlinked"]) await page.getByText(kind, { exact: true }).waitFor();
    },
  ],
  [
    "the theme can be chosen and is kept",
    async ({ open }) => {
      const page = await open("/", { colorScheme: "light" });
      const button = page.getByRole("button", { name: /^Theme/ });
      const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
      const light = await background();
      await button.click();
      await button.click();
      const dark = await background();
      assert.notEqual(dark, light);
      await page.reload();
      await button.waitFor();
      assert.equal(await background(), dark);
    },
  ],
  [
    "views ask again by themselves, rest while the tab is hidden or paused, and go on at once",
    async ({ url, stand, open }) => {
      if (!stand) return console.log("SKIPPED part: only the fixtures count what is asked");
      const page = await open("/nowhere");
      await page.clock.install();
      await page.goto(`${url}/`);
      await page.locator(".overview").waitFor();
      const edges = () => stand.asked.filter((path) => path.startsWith("/api/distributed/edges")).length;
      const passes = async (ms: number) => {
        for (let done = 0; done < ms; done += 500) await page.clock.runFor(500);
      };
      const turn = (state: "hidden" | "visible") =>
        page.evaluate((to) => {
          Object.defineProperty(document, "visibilityState", { value: to, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, state);

      let before = edges();
      await passes(12_000);
      assert.ok(edges() >= before + 2, "it does not ask again");
      await turn("hidden");
      before = edges();
      await passes(30_000);
      assert.equal(edges(), before, "it asks while the tab is hidden");
      const again = page.waitForRequest(/distributed\/edges/);
      await turn("visible");
      await again;
      await page.getByRole("button", { name: "Pause live updates" }).click();
      await passes(1000);
      before = edges();
      await passes(30_000);
      assert.equal(edges(), before, "it asks while it is paused");
    },
  ],
  [
    "a failing analyzer is said in words, what was there stays, and trying again works",
    async ({ stand, open }) => {
      if (!stand) return console.log("SKIPPED part: only the fixtures fail on demand");
      const page = await open("/traces");
      await page.locator(".trace-list tr").first().waitFor();
      stand.mood.failing = true;
      await page.getByRole("combobox", { name: "Errors" }).selectOption("true");
      await page.getByRole("alert").getByText("the store is overloaded").waitFor();
      stand.mood.failing = false;
      await page.getByRole("button", { name: "Try again" }).click();
      await page.getByRole("alert").waitFor({ state: "detached" });
      await page.locator(".trace-list tr").first().waitFor();
    },
  ],
  [
    "where nothing has come in yet, every view says what to do",
    async ({ stand, url, open }) => {
      if (!stand) return console.log("SKIPPED part: a live analyzer is not empty");
      stand.mood.empty = true;
      const page = await open("/");
      for (const path of ["/", "/traces", "/insights/dependency-graph?window=7d"]) {
        await page.goto(url + path);
        await page.getByText("raceway demo").first().waitFor();
        assert.deepEqual(await violations(page), []);
      }
    },
  ],
  [
    "an unknown trace is said to be unknown",
    async ({ open }) => {
      const page = await open("/traces/00000000-0000-0000-0000-000000000001");
      await page.getByRole("heading", { name: "Trace not found" }).waitFor();
    },
  ],
];

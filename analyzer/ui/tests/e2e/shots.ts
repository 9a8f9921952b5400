// Screenshots of every view: wide and narrow, light and dark. For people to look at; nothing is compared.

import type { Browser } from "playwright-core";
import type { EdgeList, TraceList, TraceView } from "../../src/api/types";
import { data } from "./analyzer";
import type { Stand } from "./server";

const SIZES = {
  wide: { width: 1440, height: 900 },
  narrow: { width: 390, height: 844 },
  huge: { width: 2560, height: 1300 },
};

/** Writes VIEW-SIZE-SCHEME.png files into `folder`. */
export async function shots(browser: Browser, url: string, folder: string, stand: Stand | null) {
  const edges = await data<EdgeList>(url, "/api/distributed/edges");
  const traces = await data<TraceList>(url, "/api/traces?page_size=50");
  const busiest =
    edges.nodes.toSorted((a, b) => b.requests - a.requests).find((node) => node.name === "api") ?? edges.nodes[0];
  const fullest = traces.traces.toSorted((a, b) => b.service_count - a.service_count || a.span_count - b.span_count)[0];
  const trace = stand ? traces.traces[0] : fullest;
  const views: Record<string, string> = {
    overview: "/",
    graph: "/insights/dependency-graph",
    "graph-service": `/insights/dependency-graph?service=${busiest?.name}`,
    "graph-call": `/insights/dependency-graph?from=${edges.edges[0]?.from_service}&to=${edges.edges[0]?.to_service}`,
    "graph-table": "/insights/dependency-graph?view=table",
    traces: "/traces",
    trace: `/traces/${trace?.trace_id}`,
  };
  const whole = trace && (await data<TraceView>(url, `/api/traces/${trace.trace_id}`));
  const call = whole?.spans.filter((span) => span.kind === "client")[2];
  if (call) views["trace-span"] = `/traces/${whole.trace_id}?span=${call.span_id}`;
  const lost = traces.traces.find((row) => row.origin === "unlinked" && row.span_count > 1);
  if (lost) views["trace-unlinked"] = `/traces/${lost.trace_id}`;
  if (stand) {
    views["trace-large"] = `/traces/${traces.traces[1]?.trace_id}`;
    views["not-found"] = "/traces/00000000-0000-0000-0000-000000000001";
  }
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of size === "huge" ? (["light"] as const) : (["light", "dark"] as const)) {
      const context = await browser.newContext({
        viewport,
        colorScheme,
        hasTouch: size === "narrow",
        deviceScaleFactor: size === "narrow" ? 2 : 1,
      });
      const page = await context.newPage();
      for (const [name, path] of Object.entries(views)) {
        await page.goto(url + path);
        await page.waitForLoadState("networkidle");
        if (path.includes("dependency-graph") && !path.includes("table")) await page.waitForSelector(".graph-label");
        if (stand) stand.mood.empty = false;
        // Fitting the graph is animated by frames, not by the network.
        await page.evaluate(() => new Promise((done) => setTimeout(done, 250)));
        await page.screenshot({
          path: `${folder}/${name}-${size}-${colorScheme}.png`,
          fullPage: !path.includes("graph") || size === "narrow",
        });
      }
      if (stand) {
        stand.mood.empty = true;
        await page.goto(url);
        await page.waitForSelector(".first-steps");
        await page.screenshot({ path: `${folder}/empty-${size}-${colorScheme}.png`, fullPage: true });
        stand.mood.empty = false;
      }
      await context.close();
    }
  }
}

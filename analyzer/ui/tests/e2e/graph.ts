// Insights → Dependency Graph.

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import type { EdgeList } from "../../src/api/types";
import { data } from "./analyzer";
import type { Check } from "./checks";

const WEEK = "?time_window_minutes=10080";

async function drawnEdges(page: Page): Promise<string[]> {
  const labels = await page.locator(".graph-label").all();
  return Promise.all(labels.map(async (label) => (await label.getAttribute("data-edge")) ?? ""));
}

async function waitForEdges(page: Page, count: number) {
  await page.waitForFunction((n) => document.querySelectorAll(".graph-label").length === n, count);
}

export const graph: Check[] = [
  [
    "the graph shows every edge with its count, errors and latency",
    async ({ url, edges, open }) => {
      const before = await data<EdgeList>(url, `/api/distributed/edges${WEEK}`);
      const page = await open("/insights/dependency-graph?window=7d");
      await waitForEdges(page, edges.length);
      assert.deepEqual((await drawnEdges(page)).sort(), edges.toSorted());
      const labels = await page.locator(".graph-label").evaluateAll((all) =>
        all.map((one) => ({
          edge: one.getAttribute("data-edge"),
          calls: one.getAttribute("data-calls"),
          text: one.textContent ?? "",
        })),
      );
      // The numbers may have grown while the page was loading.
      const after = await data<EdgeList>(url, `/api/distributed/edges${WEEK}`);
      for (const edge of before.edges) {
        const label = labels.find((one) => one.edge === `${edge.from_service} -> ${edge.to_service}`);
        const most = after.edges.find(
          (one) => one.from_service === edge.from_service && one.to_service === edge.to_service,
        );
        const shown = Number(label?.calls);
        assert.ok(
          shown >= edge.call_count && shown <= (most?.call_count ?? 0),
          `${label?.text}, but counted ${edge.call_count}`,
        );
        assert.match(label?.text ?? "", /calls? · [\d.<]+% errors.*p50 .* p95 .* p99 .*(certain|likely|unlinked)/s);
      }
    },
  ],
  [
    "what is drawn lies apart: no node or label covers another",
    async ({ edges, open }) => {
      const page = await open("/insights/dependency-graph?window=7d");
      await waitForEdges(page, edges.length);
      const boxes = await page.locator(".graph-node, .graph-label").evaluateAll((all) =>
        all.map((one) => {
          const { left, right, top, bottom } = one.getBoundingClientRect();
          return { name: one.textContent ?? "", left, right, top, bottom };
        }),
      );
      const canvas = await page.locator(".graph-canvas").boundingBox();
      for (const [i, a] of boxes.entries()) {
        assert.ok(canvas && a.left >= canvas.x - 1 && a.right <= canvas.x + canvas.width + 1, `${a.name} is cut off`);
        for (const b of boxes.slice(i + 1)) {
          const apart =
            a.right <= b.left + 1 || b.right <= a.left + 1 || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
          assert.ok(apart, `${a.name} and ${b.name} overlap`);
        }
      }
    },
  ],
  [
    "clicking a service narrows the graph to it and its neighbours, and the address can be shared",
    async ({ edges, open }) => {
      const touching = edges.filter((edge) => edge.split(" -> ").includes("order"));
      const page = await open("/insights/dependency-graph?window=7d");
      await waitForEdges(page, edges.length);
      await page.locator(".graph-node", { hasText: "order" }).click();
      await waitForEdges(page, touching.length);
      assert.deepEqual((await drawnEdges(page)).sort(), touching.toSorted());
      assert.equal(new URL(page.url()).searchParams.get("service"), "order");
      const panel = page.locator(".graph-panel");
      assert.match((await panel.locator("h2").textContent()) ?? "", /order/);
      for (const part of ["Requests", "Rate", "Errors", "p99", "Called by", "Calls", "Recent traces"]) {
        await panel.getByText(part, { exact: false }).first().waitFor();
      }
      await panel.locator(".recent a").first().waitFor();

      const shared = await open(new URL(page.url()).pathname + new URL(page.url()).search);
      await waitForEdges(shared, touching.length);

      await page.goBack();
      await waitForEdges(page, edges.length);
    },
  ],
  [
    "a call can be chosen and shows its numbers and the certainty of its links",
    async ({ edges, open }) => {
      const page = await open("/insights/dependency-graph?window=7d");
      await waitForEdges(page, edges.length);
      await page.locator('.graph-label[data-edge="order -> payment"]').click();
      const panel = page.locator(".graph-panel");
      await panel.getByText("Seen as spans").waitFor();
      for (const kind of ["Certain", "Likely", "Unlinked"]) await panel.getByText(kind, { exact: true }).waitFor();
      await panel.getByRole("link", { name: "Close call" }).click();
      await panel.getByText("All services").waitFor();
    },
  ],
  [
    "the graph works by keyboard alone",
    async ({ edges, open }) => {
      const page = await open("/insights/dependency-graph?window=7d");
      await waitForEdges(page, edges.length);
      const node = page.locator(".graph-node", { hasText: "payment" });
      await node.focus();
      await page.keyboard.press("Enter");
      await page.waitForURL(/service=payment/);
      await page.locator(".graph-filter").getByRole("link", { name: "Show all" }).focus();
      await page.keyboard.press("Enter");
      await waitForEdges(page, edges.length);
    },
  ],
  [
    "the table says the same as the picture",
    async ({ edges, open }) => {
      const page = await open("/insights/dependency-graph?window=7d&view=table");
      const table = page.getByRole("table", { name: /Calls between services/ });
      await table.waitFor();
      const rows = await table.locator("tbody tr").evaluateAll((all) =>
        all.map((row) =>
          [...row.children]
            .slice(0, 2)
            .map((cell) => cell.textContent?.trim())
            .join(" -> "),
        ),
      );
      assert.deepEqual(rows.sort(), edges.toSorted());
    },
  ],
];

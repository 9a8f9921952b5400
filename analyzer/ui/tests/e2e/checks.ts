// Runs every check in a page of its own and says which failed. Each check is a sentence that must be true.

import assert from "node:assert/strict";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { everywhere } from "./everywhere";
import { graph } from "./graph";
import type { Stand } from "./server";
import { traces } from "./traces";

/** What a check works with. */
export type Run = {
  url: string;
  /** The stand-in for the analyzer; `null` against a real one. */
  stand: Stand | null;
  /** Edges that the graph must show, as `from -> to`. */
  edges: string[];
  /** A fresh page; errors in it and requests to other hosts fail the check. */
  open: (path: string, options?: BrowserContextOptions) => Promise<Page>;
};

/** A check by its sentence. */
export type Check = [sentence: string, run: (run: Run) => Promise<void>];

/** Edges of the demo's shop, which a live analyzer is expected to show. */
export const SHOP = ["frontend -> api", "api -> auth", "api -> order", "order -> payment", "api -> payment"];

/** Runs the checks whose sentence contains `only`; how many failed. */
export async function checks(
  browser: Browser,
  url: string,
  stand: Stand | null,
  edges: string[],
  only = "",
): Promise<number> {
  const chosen = [...graph, ...traces, ...everywhere].filter(([sentence]) => sentence.includes(only));
  let failed = 0;
  for (const [sentence, run] of chosen) {
    const pages = new Pages(browser, url);
    try {
      await run({ url, stand, edges, open: pages.open });
      assert.deepEqual(pages.complaints, []);
      console.log(`ok      ${sentence}`);
    } catch (error) {
      failed += 1;
      console.error(`FAILED  ${sentence}\n${error instanceof Error ? error.stack : error}`);
    } finally {
      await pages.close();
      if (stand) Object.assign(stand.mood, { empty: false, failing: false });
    }
  }
  console.log(`${chosen.length - failed} of ${chosen.length} checks passed`);
  return failed;
}

/** The pages of one check, and what they complained about. */
class Pages {
  readonly complaints: string[] = [];
  private readonly browser: Browser;
  private readonly url: string;
  private readonly contexts: { close: () => Promise<void> }[] = [];

  constructor(browser: Browser, url: string) {
    this.browser = browser;
    this.url = url;
  }

  readonly open = async (path: string, options: BrowserContextOptions = {}): Promise<Page> => {
    const context = await this.browser.newContext({
      viewport: { width: 1440, height: 900 },
      timezoneId: "UTC",
      ...options,
    });
    this.contexts.push(context);
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on("pageerror", (error) => this.complaints.push(String(error)));
    page.on("console", (message) => {
      // A refused answer is shown on the page; that the browser logs it too is no error of the page.
      if (message.type() === "error" && !message.text().includes("Failed to load resource"))
        this.complaints.push(message.text());
    });
    page.on("request", (request) => {
      if (!request.url().startsWith(this.url) && !request.url().startsWith("data:"))
        this.complaints.push(`asked another host: ${request.url()}`);
    });
    await page.goto(this.url + path);
    return page;
  };

  async close() {
    for (const context of this.contexts) await context.close();
  }
}

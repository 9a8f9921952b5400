// The page in a real Chromium: against fixtures, or with `--url` against a running analyzer that shows the demo's shop.
//
//   npm run e2e                                    fixtures; builds the page first
//   npm run e2e -- --url http://127.0.0.1:8080     a live analyzer
//   … --edges "a -> b, b -> c"                     other edges than the demo's are expected
//   … --only TEXT                                  checks whose sentence contains the text
//   … --shots DIR                                  screenshots, wide and narrow, light and dark
//   … --chromium PATH

import { existsSync, mkdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { type Browser, chromium } from "playwright-core";
import { build } from "vite";
import { edges } from "../fixtures/shop";
import { checks, SHOP } from "./checks";
import { start } from "./server";
import { shots } from "./shots";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Runs everything; the exit code. */
export async function main(args: string[]): Promise<number> {
  const { values } = parseArgs({
    args,
    options: {
      url: { type: "string" },
      shots: { type: "string" },
      edges: { type: "string" },
      only: { type: "string" },
      "shots-only": { type: "boolean", default: false },
      chromium: { type: "string", default: process.env["RACEWAY_CHROMIUM"] ?? "/usr/bin/chromium" },
    },
  });
  if (!existsSync(values.chromium)) {
    console.error(
      `SKIPPED: the page was NOT tested in a browser: ${values.chromium} is missing (apt-get install chromium)`,
    );
    return 0;
  }
  const root = new URL("../..", import.meta.url).pathname;
  const dist = `${root}dist`;
  if (!values.url) await build({ root, logLevel: "warn" });
  const stand = values.url ? null : await start(dist);
  const url = (values.url ?? stand?.url ?? "").replace(/\/$/, "");
  const fixed = stand ? edges().edges.map((edge) => `${edge.from_service} -> ${edge.to_service}`) : SHOP;
  const expected = values.edges?.split(",").map((edge) => edge.trim()) ?? fixed;
  let browser: Browser | undefined;
  try {
    browser = await chromium.launch({ executablePath: values.chromium, args: FLAGS });
    const failed = values["shots-only"] ? 0 : await checks(browser, url, stand, expected, values.only);
    if (values.shots) {
      mkdirSync(values.shots, { recursive: true });
      await shots(browser, url, values.shots, stand);
    }
    return failed > 0 ? 1 : 0;
  } finally {
    await browser?.close();
    await stand?.stop();
  }
}

// The page in a real Chromium: against fixtures, or with `--url` against a running analyzer that shows the demo's shop.
//
//   npm run e2e                                    fixtures; builds the page first
//   npm run e2e -- --url http://127.0.0.1:8080     a live analyzer
//   npm run e2e -- --api http://127.0.0.1:8080     the page as it is built here, with a live analyzer's data
//   … --edges "a -> b, b -> c"                     other edges than the demo's are expected
//   … --only TEXT                                  checks whose sentence contains the text
//   … --shots DIR                                  screenshots, wide and narrow, light and dark
//   … --chromium PATH

import { existsSync, mkdirSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";
import { build } from "vite";
import { edges } from "../fixtures/shop";
import { checks, SHOP } from "./checks";
import { type Stand, start } from "./server";
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
      api: { type: "string" },
      shots: { type: "string" },
      edges: { type: "string" },
      only: { type: "string" },
      "shots-only": { type: "boolean", default: false },
      chromium: { type: "string", default: process.env["RACEWAY_CHROMIUM"] ?? "/usr/bin/chromium" },
    },
  });
  if (!existsSync(values.chromium)) {
    const must = process.env["RACEWAY_TESTS_MUST_RUN"] === "1";
    const word = must ? "FAILED" : "SKIPPED";
    console.error(
      `${word}: the page was NOT tested in a browser: ${values.chromium} is missing (apt-get install chromium)`,
    );
    return must ? 1 : 0;
  }
  if (values.url) return run(values.url.replace(/\/$/, ""), null, values);
  const root = new URL("../..", import.meta.url).pathname;
  const dist = await mkdtemp(join(tmpdir(), "raceway-page-"));
  const server = await build({ root, logLevel: "warn", build: { outDir: dist } }).then(() =>
    start(dist, values.api?.replace(/\/$/, "")),
  );
  try {
    // A live analyzer says what it says; only fixtures can be made to fail or to be empty.
    return await run(server.url, values.api ? null : server, values);
  } finally {
    await server.stop();
    await rm(dist, { recursive: true });
  }
}

type Choice = { edges?: string; only?: string; shots?: string; "shots-only": boolean; chromium: string };

async function run(url: string, stand: Stand | null, choice: Choice): Promise<number> {
  if (!(await pageIsThere(url))) return 1;
  const fixed = stand ? edges().edges.map((edge) => `${edge.from_service} -> ${edge.to_service}`) : SHOP;
  const expected = choice.edges?.split(",").map((edge) => edge.trim()) ?? fixed;
  const browser = await chromium.launch({ executablePath: choice.chromium, args: FLAGS });
  try {
    const failed = choice["shots-only"] ? 0 : await checks(browser, url, stand, expected, choice.only);
    if (choice.shots) {
      mkdirSync(choice.shots, { recursive: true });
      await shots(browser, url, choice.shots, stand);
    }
    return failed > 0 ? 1 : 0;
  } finally {
    await browser.close();
  }
}

/** Twenty checks that wait in vain say less than one sentence. */
async function pageIsThere(url: string): Promise<boolean> {
  const page = await fetch(url).then(
    (response) => response.text(),
    (error: unknown) => `it cannot be reached: ${error}`,
  );
  if (page.includes('id="root"')) return true;
  console.error(`FAILED: ${url} does not serve the page (is its analyzer built without it?): ${page.slice(0, 200)}`);
  return false;
}

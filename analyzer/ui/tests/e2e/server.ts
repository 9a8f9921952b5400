// Stands in for the analyzer: serves the built page as the analyzer does, and the fixtures as its API.

import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";
import * as shop from "../fixtures/shop";

const MIME: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** What the fixtures should look like. */
export type Mood = { empty: boolean; failing: boolean };

/** A running stand-in. */
export type Stand = { url: string; mood: Mood; asked: string[]; stop: () => Promise<void> };

/** Serves `dist` on a free port of this machine, and as its API the fixtures or, where given, that of an analyzer. */
export async function start(dist: string, analyzer?: string): Promise<Stand> {
  const mood: Mood = { empty: false, failing: false };
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url ?? "");
    void answer(request, response, dist, mood, analyzer);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return { url: `http://127.0.0.1:${address.port}`, mood, asked, stop: () => stop(server) };
}

function stop(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((done) => server.close(() => done()));
}

async function answer(request: IncomingMessage, response: ServerResponse, dist: string, mood: Mood, analyzer?: string) {
  const url = new URL(request.url ?? "/", "http://stand");
  if (/^\/(api|status|health)(\/|$)/.test(url.pathname)) {
    if (analyzer) {
      const passed = await fetch(analyzer + request.url).catch(() => null);
      response.writeHead(passed?.status ?? 502, { "content-type": "application/json" }).end(await passed?.text());
      return;
    }
    const [status, body] = mood.failing ? [503, failure("the store is overloaded; try again in 1s")] : api(url, mood);
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    return;
  }
  const file = extname(url.pathname) ? url.pathname : "/index.html";
  try {
    const bytes = await readFile(join(dist, normalize(file)));
    // The page keeps to what a strict analyzer would allow: nothing inline, nothing from elsewhere.
    const headers = {
      "content-type": MIME[extname(file)] ?? "application/octet-stream",
      "content-security-policy": "default-src 'self'; frame-ancestors 'none'",
    };
    response.writeHead(200, headers).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

const success = (data: unknown) => ({ success: true, data, error: null });
const failure = (error: string) => ({ success: false, data: null, error });

function api(url: URL, mood: Mood): [number, unknown] {
  const found = data(url, mood);
  return found === undefined ? [404, failure("no such trace; it may be too old")] : [200, success(found)];
}

function data({ pathname, searchParams }: URL, mood: Mood): unknown {
  const empty = mood.empty;
  switch (pathname) {
    case "/health":
      return "ok";
    case "/status":
      return empty ? { ...shop.status(), spans: 0, traces_active: 0, events_captured: 0 } : shop.status();
    case "/api/services":
      return empty ? { total_services: 0, services: [] } : shop.services();
    case "/api/services/health":
      return empty ? [] : shop.health();
    case "/api/distributed/edges":
      return empty ? { ...shop.edges(), total_edges: 0, edges: [], nodes: [], entry_points: [] } : shop.edges();
    case "/api/performance/metrics":
      return shop.performance();
    case "/api/traces":
      return empty
        ? { ...shop.traces(searchParams), total_traces: 0, total_pages: 0, traces: [] }
        : shop.traces(searchParams);
  }
  const [, service] = /^\/api\/services\/([^/]+)\/traces$/.exec(pathname) ?? [];
  if (service !== undefined) {
    searchParams.set("service", decodeURIComponent(service));
    return { service_name: decodeURIComponent(service), ...shop.traces(searchParams) };
  }
  const [, id] = /^\/api\/traces\/([^/]+)$/.exec(pathname) ?? [];
  if (id === shop.traceId(1)) return shop.large();
  if (id === shop.traceId(2)) return shop.lost();
  return shop.rows().some((row) => row.trace_id === id) ? shop.checkout(id) : undefined;
}

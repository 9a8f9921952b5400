// The frame around every view, and which view an address shows. Views read their own state from the address.

import { lazy, Suspense, useEffect, useMemo, useRef } from "react";
import { type Polled, setLive, useLive, usePolled } from "./api/poll";
import type { ServiceList, Status } from "./api/types";
import { namer, ServiceNames } from "./lib/identity";
import { Link, parseRoute, paths, type Route, usePath } from "./lib/router";
import { assignHues, ServiceHues } from "./lib/services";
import { chooseTheme, type Theme, useTheme } from "./lib/theme";
import { Overview } from "./overview/overview";
import { TraceList } from "./traces/list";
import { Icon, type IconName } from "./ui/icons";
import { Waiting } from "./ui/parts";

// Each brings a library along that the other views do without.
const GraphPage = lazy(() => import("./graph/page"));
const TracePage = lazy(() => import("./traces/trace"));

export function App() {
  const path = usePath();
  const route = useMemo(() => parseRoute(path), [path]);
  // Names of all times, so that a service keeps its colour whatever window a view shows.
  const services = usePolled<ServiceList>("/api/services", 15_000);
  const status = usePolled<Status>("/status", 5_000);
  const known = services.data?.services;
  const hues = useMemo(() => assignHues(known?.map((service) => service.name) ?? []), [known]);
  const names = useMemo(() => namer(known ?? []), [known]);

  return (
    <ServiceHues value={hues}>
      <ServiceNames value={names}>
        <a className="skip" href="#main">
          Skip to content
        </a>
        <div className="shell">
          <Side route={route} status={status} />
          <Main route={route} />
        </div>
      </ServiceNames>
    </ServiceHues>
  );
}

function Main({ route }: { route: Route }) {
  const main = useRef<HTMLElement>(null);
  const first = useRef(true);
  const place = route.name === "trace" ? `trace ${route.id}` : route.name;

  // A new view begins at its top, for eyes and for screen readers.
  // biome-ignore lint/correctness/useExhaustiveDependencies: runs when the place changes, which it need not read.
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return;
    }
    window.scrollTo(0, 0);
    main.current?.focus({ preventScroll: true });
  }, [place]);

  return (
    <main id="main" ref={main} tabIndex={-1}>
      <Suspense fallback={<Waiting what="view" />}>
        <View route={route} />
      </Suspense>
    </main>
  );
}

function View({ route }: { route: Route }) {
  switch (route.name) {
    case "overview":
      return <Overview />;
    case "graph":
      return <GraphPage />;
    case "traces":
      return <TraceList />;
    case "trace":
      return <TracePage key={route.id} id={route.id} />;
    case "unknown":
      return <NotFound path={route.path} />;
  }
}

function NotFound({ path }: { path: string }) {
  return (
    <>
      <title>Not found · Raceway</title>
      <div className="page-head">
        <h1>There is no such page</h1>
      </div>
      <p>
        Nothing is at <code>{path}</code>. The <Link href={paths.overview}>overview</Link> is a good place to start.
      </p>
    </>
  );
}

const NAV: { href: string; words: string; icon: IconName; is: (route: Route) => boolean; group?: string }[] = [
  { href: paths.overview, words: "Overview", icon: "overview", is: (route) => route.name === "overview" },
  {
    href: paths.traces,
    words: "Traces",
    icon: "traces",
    is: (route) => route.name === "traces" || route.name === "trace",
  },
  {
    href: paths.graph,
    words: "Dependency Graph",
    icon: "graph",
    is: (route) => route.name === "graph",
    group: "Insights",
  },
];

function Side({ route, status }: { route: Route; status: Polled<Status> }) {
  return (
    <header className="side">
      <Link href={paths.overview} className="brand">
        <img src="/icon.svg" alt="" />
        Raceway
      </Link>
      <nav className="nav" aria-label="Views">
        {NAV.map((item) => (
          <NavItem key={item.href} {...item} current={item.is(route)} />
        ))}
      </nav>
      <div className="tools">
        <State status={status} />
        <LiveButton />
        <ThemeButton />
      </div>
    </header>
  );
}

function NavItem({ href, words, icon, group, current }: Omit<(typeof NAV)[number], "is"> & { current: boolean }) {
  return (
    <>
      {group && <span className="group">{group}</span>}
      <Link href={href} aria-current={current ? "page" : undefined}>
        <Icon name={icon} />
        {words}
      </Link>
    </>
  );
}

/** Whether what the page shows is up to date. */
function State({ status }: { status: Polled<Status> }) {
  const live = useLive();
  const [kind, words] = status.error
    ? ["lost", "No connection"]
    : status.data && !status.data.warmup.ready
      ? ["paused", "Reading back"]
      : live
        ? ["live", "Live"]
        : ["paused", "Paused"];
  return (
    <output className="state">
      <span className={`dot ${kind}`} />
      <span className="words">{words}</span>
    </output>
  );
}

function LiveButton() {
  const live = useLive();
  return (
    <button
      type="button"
      className="button bare square"
      title={live ? "Pause live updates" : "Resume live updates"}
      aria-label="Pause live updates"
      aria-pressed={!live}
      onClick={() => setLive(!live)}
    >
      <Icon name={live ? "pause" : "play"} />
    </button>
  );
}

const THEMES: { theme: Theme; icon: IconName; words: string }[] = [
  { theme: "system", icon: "system", words: "Theme: as the system. Switch to light" },
  { theme: "light", icon: "sun", words: "Theme: light. Switch to dark" },
  { theme: "dark", icon: "moon", words: "Theme: dark. Switch to the system's" },
];

function ThemeButton() {
  const theme = useTheme();
  const now = THEMES.findIndex((item) => item.theme === theme);
  const item = THEMES[now];
  if (!item) return null;
  return (
    <button
      type="button"
      className="button bare square"
      title={item.words}
      aria-label={item.words}
      onClick={() => chooseTheme(THEMES[(now + 1) % THEMES.length]?.theme ?? "system")}
    >
      <Icon name={item.icon} />
    </button>
  );
}

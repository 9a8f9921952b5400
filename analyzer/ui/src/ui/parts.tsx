// Small parts that several views share.

import { type CSSProperties, type ReactNode, useContext } from "react";
import type { ApiError } from "../api/client";
import type { HealthStatus, Link as SpanLink } from "../api/types";
import { leastSure, type TraceLinks } from "../lib/certainty";
import { percent, probability } from "../lib/format";
import { type Identity, ServiceNames } from "../lib/identity";
import { useServiceColour } from "../lib/services";
import { Icon } from "./icons";

/** A service's colour and name; `words` where the name alone is not enough. */
export function ServiceName({ name, words, virtual = false }: { name: string; words?: string; virtual?: boolean }) {
  const colour = useServiceColour();
  return (
    <span
      className={virtual ? "service virtual" : "service"}
      style={virtual ? undefined : ({ "--hue": colour(name) } as CSSProperties)}
    >
      <i />
      <span>{words ?? name}</span>
    </span>
  );
}

/** A service's colour and name, with namespace and environment where another has the same name. */
export function Service({ of }: { of: Identity }) {
  return <ServiceName name={of.name} words={useContext(ServiceNames)(of)} />;
}

const HEALTH = {
  healthy: { tone: "good", words: "Healthy", shape: "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12z" },
  warning: { tone: "warn", words: "Warning", shape: "M8 1.5l7 12.5h-14z" },
  critical: { tone: "bad", words: "Critical", shape: "M8 1l7 7-7 7-7-7z" },
  unknown: { tone: "none", words: "Unknown", shape: "M2 6.5h12v3h-12z" },
} as const;

/** A verdict as shape, colour and word; `terse` keeps the word for those who hear the page. */
export function Health({ status, terse = false }: { status: HealthStatus | null | undefined; terse?: boolean }) {
  const { tone, words, shape } = HEALTH[status ?? "unknown"];
  return (
    <span className={`health ${tone}`}>
      <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
        <path d={shape} />
      </svg>
      <span className={terse ? "hidden" : undefined}>{words}</span>
    </span>
  );
}

/** How sure a link is: a word or number, an icon, a kind of border; colour comes last. */
export function CertaintyChip({ link }: { link: Pick<SpanLink, "certainty" | "p"> }) {
  return (
    <span className={`chip ${link.certainty}`}>
      <Icon name={link.certainty} />
      {link.certainty === "likely" ? `p ${probability(link.p)}` : link.certainty}
    </span>
  );
}

/** As `CertaintyChip`, where a whole trace is meant: the least sure of its links. */
export function TraceCertainty({ trace }: { trace: TraceLinks }) {
  const link = leastSure(trace);
  if (!link) {
    return (
      <span className="soft" title="One span, and so no link. Calls whose cause was not found are traces of their own.">
        one span
      </span>
    );
  }
  return (
    <span title={link.words}>
      <CertaintyChip link={link} />
      {link.certainty === "unlinked" && <span className="hidden"> {link.words}</span>}
    </span>
  );
}

/** An error rate that stands out only when there is something to see. */
export function ErrorRate({ share }: { share: number | null | undefined }) {
  return share ? <span className="bad-text">{percent(share)}</span> : <span className="soft">{percent(share)}</span>;
}

/** One number with its name, inside a `<dl>`. */
export function Figure({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="figure">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

/** An answer did not come: why, and a way to try again. What was there before stays on the page. */
export function Problem({ error, retry }: { error: ApiError | undefined; retry: () => void }) {
  if (!error) return null;
  return (
    <div className="notice bad" role="alert">
      <Icon name="error" />
      <span>{error.message}</span>
      <button type="button" className="button" onClick={retry}>
        Try again
      </button>
    </div>
  );
}

/** Something is being fetched for the first time. */
export function Waiting({ what }: { what: string }) {
  return <output className="waiting">Loading {what} …</output>;
}

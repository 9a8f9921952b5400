// One row of the waterfall.

import { type CSSProperties, type MouseEvent, memo, useContext } from "react";
import type { SpanView } from "../api/types";
import { duration } from "../lib/format";
import { ServiceNames, serviceOf } from "../lib/identity";
import { useServiceColour } from "../lib/services";
import { Icon } from "../ui/icons";
import { bar, type Range, type Stretch } from "./geometry";
import { LinkChip } from "./link-chip";

type Props = {
  index: number;
  row: number;
  top: number;
  span: SpanView;
  /** Whom it calls, where it is a call. */
  target: string | undefined;
  depth: number;
  childCount: number;
  open: boolean;
  selected: boolean;
  range: Range;
  critical: Stretch[] | undefined;
  select: (index: number) => void;
  toggle: (index: number) => void;
};

/** Deeper levels stand at the same place; their depth is still said to screen readers. */
const DEPTH_DRAWN = 14;

// Handlers are made anew at every render of the waterfall and do the same: they are left out of the comparison.
export const SpanRow = memo(Row, (a, b) =>
  (Object.keys(a) as (keyof Props)[]).every((key) => key === "select" || key === "toggle" || a[key] === b[key]),
);

function Row(props: Props) {
  const { index, row, top, span, target, depth, childCount, open, selected, range, critical, select, toggle } = props;
  const colour = useServiceColour();
  const nameOf = useContext(ServiceNames);
  const fold = (event: MouseEvent) => {
    event.stopPropagation();
    toggle(index);
  };
  return (
    <div
      id={`span-${index}`}
      className={selected ? "row selected" : "row"}
      role="row"
      aria-level={depth + 1}
      aria-rowindex={row + 2}
      aria-selected={selected}
      aria-expanded={childCount > 0 ? open : undefined}
      style={{ transform: `translateY(${top}px)`, "--hue": colour(span.service) } as CSSProperties}
      onClick={() => select(index)}
      data-span={span.span_id}
    >
      <div
        className="label"
        role="gridcell"
        style={{ paddingLeft: `calc(6px + ${Math.min(depth, DEPTH_DRAWN)} * var(--indent))` }}
      >
        {depth > 0 && <i className={`elbow ${span.link.certainty}`} />}
        {childCount > 0 ? (
          <button type="button" className="fold" tabIndex={-1} aria-label={open ? "Fold" : "Open"} onClick={fold}>
            <Icon name={open ? "down" : "right"} />
          </button>
        ) : (
          <span className="fold" />
        )}
        {span.error && (
          <span className="bad-text failed" title={span.status_message ?? "failed"}>
            <Icon name="error" />
            <span className="hidden">failed</span>
          </span>
        )}
        <b>{nameOf(serviceOf(span))}</b>
        {target !== undefined && (
          <>
            <span className="soft kind" aria-hidden="true">
              →
            </span>
            <span className="hidden">calls</span>
          </>
        )}
        <span className="cut soft">
          {target && <span className="target">{target} </span>}
          {span.name}
        </span>
      </div>
      <div className="link" role="gridcell">
        <LinkChip span={span} />
      </div>
      <div className="time" role="gridcell">
        <Bar span={span} range={range} critical={critical} />
      </div>
    </div>
  );
}

function Bar({ span, range, critical }: Pick<Props, "span" | "range" | "critical">) {
  const place = bar(range, span.start_ns, span.end_ns);
  const words = duration(span.duration_ms);
  if (!place) return <span className="hidden">{words}, outside of the shown time</span>;
  return (
    <>
      <span
        className={`bar ${span.kind}${span.error ? " failed" : ""}`}
        style={{ left: percent(place.left), width: percent(place.width) }}
      />
      {critical?.map((stretch) => {
        const part = bar(range, stretch.start_ns, stretch.end_ns);
        if (!part) return null;
        return (
          <span
            key={stretch.start_ns}
            className={`stretch ${stretch.part}`}
            style={{ left: percent(part.left), width: percent(part.width) }}
          />
        );
      })}
      <span className="took" style={{ left: percent(place.left + place.width) }}>
        {words}
        {span.critical_ms > 0 && (
          <span className="hidden">, {duration(span.critical_ms)} of it on the critical path</span>
        )}
      </span>
    </>
  );
}

function percent(share: number): string {
  return `${Math.round(share * 1e5) / 1e3}%`;
}

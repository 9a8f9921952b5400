// Above the waterfall: what is shown, what is folded, how far it is zoomed, and what the marks mean.

import { count } from "../lib/format";
import { Icon } from "../ui/icons";

type Props = {
  spans: number;
  shown: number;
  onlyPath: boolean;
  hasPath: boolean;
  zoomed: boolean;
  showPath: (only: boolean) => void;
  fold: (all: boolean) => void;
  /** `null` shows everything. */
  zoom: (factor: number | null) => void;
};

export function Toolbar({ spans, shown, onlyPath, hasPath, zoomed, showPath, fold, zoom }: Props) {
  return (
    <header className="waterfall-head">
      <h2 id="waterfall">Spans</h2>
      <span className="soft num" role="status">
        {shown === spans ? count(spans) : `${count(shown)} of ${count(spans)}`}
      </span>
      <span className="key" aria-hidden="true">
        <i className="swatch path" /> on the critical path
        <i className="swatch" /> waiting or off it
      </span>
      <div className="tools">
        {hasPath && (
          <fieldset className="segmented">
            <legend className="hidden">Spans to show</legend>
            <button type="button" className="button" aria-pressed={!onlyPath} onClick={() => showPath(false)}>
              All
            </button>
            <button type="button" className="button" aria-pressed={onlyPath} onClick={() => showPath(true)}>
              Critical path
            </button>
          </fieldset>
        )}
        <button type="button" className="button bare" onClick={() => fold(true)}>
          Fold all
        </button>
        <button type="button" className="button bare" onClick={() => fold(false)}>
          Open all
        </button>
        <span className="zoom">
          <button
            type="button"
            className="button bare square"
            aria-label="Zoom in"
            title="Zoom in (+)"
            onClick={() => zoom(0.5)}
          >
            <Icon name="plus" />
          </button>
          <button
            type="button"
            className="button bare square"
            aria-label="Zoom out"
            title="Zoom out (−)"
            disabled={!zoomed}
            onClick={() => zoom(2)}
          >
            <Icon name="minus" />
          </button>
          <button
            type="button"
            className="button bare square"
            aria-label="Show all of the time"
            title="Show all (0)"
            disabled={!zoomed}
            onClick={() => zoom(null)}
          >
            <Icon name="fit" />
          </button>
        </span>
      </div>
    </header>
  );
}

// The choice of the time window, kept in the address.

import { useParams } from "../lib/router";
import { USUAL, WINDOWS, type Window, windowNamed } from "../lib/window";

/** The window that the address names, and the control that changes it. `any` offers all that is kept, as the default. */
export function WindowSelect({ any = false }: { any?: boolean }) {
  const [params, change] = useParams();
  const none = any ? "" : USUAL.name;
  return (
    <label>
      <span className="hidden">Time window</span>
      <select
        className="input"
        value={windowNamed(params.get("window"))?.name ?? none}
        onChange={(event) => {
          const name = event.target.value;
          change({ window: name === none ? null : name, page: null });
        }}
      >
        {WINDOWS.map((window) => (
          <option key={window.name} value={window.name}>
            {window.words}
          </option>
        ))}
        {any && <option value="">All that is kept</option>}
      </select>
    </label>
  );
}

/** The window of views that always have one. */
export function useWindow(): Window {
  const [params] = useParams();
  return windowNamed(params.get("window")) ?? USUAL;
}

// The waterfall by keyboard, as trees work everywhere: arrows walk and fold, plus and minus zoom.

import type { Tree } from "./geometry";

/** Where the reader stands. */
export type Standing = {
  tree: Tree;
  /** The spans shown, top to bottom. */
  rows: readonly number[];
  closed: ReadonlySet<number>;
  /** The selected span, -1 for none. */
  selected: number;
  /** Rows that a page key moves by. */
  page: number;
};

/** What a key asks for. `zoom: null` shows all of the time; `select: -1` selects nothing. */
export type Command = { select: number } | { toggle: number } | { zoom: number | null };

/** The command of a key; `null` where the key is not for the waterfall. */
export function commandOf(key: string, standing: Standing): Command | null {
  const { tree, rows, closed, selected, page } = standing;
  const row = rows.indexOf(selected);
  const go = (to: number): Command | null => {
    const span = rows[Math.min(rows.length - 1, Math.max(0, to))];
    return span === undefined ? null : { select: span };
  };
  const folds = selected >= 0 && (tree.children[selected]?.length ?? 0) > 0;
  switch (key) {
    case "ArrowDown":
      return go(row + 1);
    case "ArrowUp":
      return go(row < 0 ? 0 : row - 1);
    case "Home":
      return go(0);
    case "End":
      return go(rows.length - 1);
    case "PageDown":
      return go(row + page);
    case "PageUp":
      return go(row - page);
    case "ArrowRight":
      if (!folds) return null;
      return closed.has(selected) ? { toggle: selected } : go(row + 1);
    case "ArrowLeft": {
      if (folds && !closed.has(selected)) return { toggle: selected };
      const parent = tree.parent[selected] ?? -1;
      return parent >= 0 ? { select: parent } : null;
    }
    case "Enter":
      return folds ? { toggle: selected } : null;
    case "Escape":
      return selected >= 0 ? { select: -1 } : null;
    case "+":
      return { zoom: 0.5 };
    case "-":
      return { zoom: 2 };
    case "0":
      return { zoom: null };
    default:
      return null;
  }
}

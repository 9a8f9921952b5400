// How a span is tied to its cause, in one word or number.

import type { SpanView } from "../api/types";
import { Icon } from "../ui/icons";
import { CertaintyChip } from "../ui/parts";

/** Whether a span is a call that its service made. */
export function isCall({ kind }: Pick<SpanView, "kind">): boolean {
  return kind === "client" || kind === "producer";
}

/** Whether a trace begins with this span because the request came from outside, not because nobody knows its cause. */
export function isEntry(span: Pick<SpanView, "link" | "kind">): boolean {
  return span.link.method === "root" && !isCall(span);
}

export function LinkChip({ span }: { span: SpanView }) {
  if (span.orphan) return <span className="chip warn">orphan</span>;
  if (!isEntry(span)) return <CertaintyChip link={span.link} />;
  return (
    <span className="chip plain">
      <Icon name="enter" />
      root
    </span>
  );
}

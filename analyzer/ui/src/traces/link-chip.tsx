// How a span is tied to its cause, in one word or number.

import type { SpanView } from "../api/types";
import { Icon } from "../ui/icons";
import { CertaintyChip } from "../ui/parts";

/** Whether a trace begins with this span because the request came from outside, not because nobody knows its cause. */
export function isEntry({ link, kind }: Pick<SpanView, "link" | "kind">): boolean {
  return link.method === "root" && kind !== "client" && kind !== "producer";
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

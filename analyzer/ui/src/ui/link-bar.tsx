// How sure the links are: one bar, three kinds, each with its number and words.

import type { Certainty, LinkCounts } from "../api/types";
import { count, percent } from "../lib/format";
import { Icon } from "./icons";
import "./link-bar.css";

const KINDS: { kind: Certainty; words: string; means: string }[] = [
  { kind: "certain", words: "Certain", means: "proven: a context was passed on" },
  { kind: "likely", words: "Likely", means: "inferred, with a probability" },
  { kind: "unlinked", words: "Unlinked", means: "cause unknown: candidates are kept" },
];

export function LinkBar({ links, brief = false }: { links: LinkCounts; brief?: boolean }) {
  const all = links.certain + links.likely + links.unlinked;
  return (
    <div className={brief ? "link-bar brief" : "link-bar"}>
      <div className="bar" aria-hidden="true">
        {KINDS.map(
          ({ kind }) => links[kind] > 0 && <i key={kind} className={kind} style={{ flexGrow: links[kind] / all }} />,
        )}
      </div>
      <dl>
        {KINDS.map(({ kind, words, means }) => (
          <div key={kind}>
            <dt className={kind}>
              <Icon name={kind} />
              {words}
            </dt>
            <dd>
              {count(links[kind])} <span className="soft">{all > 0 ? percent(links[kind] / all) : ""}</span>
            </dd>
            {!brief && <dd className="means">{means}</dd>}
          </div>
        ))}
      </dl>
    </div>
  );
}

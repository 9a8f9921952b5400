// The critical path in numbers: each service's share, and what would be saved.

import type { CSSProperties } from "react";
import type { CriticalPath } from "../api/types";
import { duration, percent, probability } from "../lib/format";
import { identityKey, longName, serviceOf } from "../lib/identity";
import { useServiceColour } from "../lib/services";
import { Icon } from "../ui/icons";
import { Service } from "../ui/parts";
import "./critical-path.css";

/** So many operations are listed; the rest is short. */
const SAVINGS_SHOWN = 6;

export function CriticalPathCard({ path }: { path: CriticalPath }) {
  const colour = useServiceColour();
  const network = path.path.reduce((sum, step) => (step.part === "network" ? sum + step.self_ms : sum), 0);
  const savings = path.savings.filter((saving) => saving.self_ms > 0 || saving.slack_ms > 0).slice(0, SAVINGS_SHOWN);
  return (
    <section className="card critical" aria-labelledby="critical">
      <header>
        <h2 id="critical">Critical path</h2>
        <span>
          <b>{duration(path.total_duration_ms)}</b>{" "}
          <span className="soft">{percent(path.percentage_of_total / 100)} of the trace</span>
        </span>
        {path.certainty < 1 && (
          <span className="chip likely" title="The smallest probability among the links it runs over">
            <Icon name="likely" />p {probability(path.certainty)}
          </span>
        )}
      </header>
      <div className="critical-body">
        <div className="shares">
          <div className="share-bar" aria-hidden="true">
            {path.services.map((share) => (
              <i
                key={identityKey(serviceOf(share))}
                style={{ "--hue": colour(share.service), flexGrow: share.percentage } as CSSProperties}
                title={`${longName(serviceOf(share))} ${duration(share.self_ms)}`}
              />
            ))}
          </div>
          <table className="table">
            <caption className="hidden">Each service's share of the critical path, largest first</caption>
            <thead className="hidden">
              <tr>
                <th scope="col">Service</th>
                <th scope="col">Time on the path</th>
                <th scope="col">Share</th>
              </tr>
            </thead>
            <tbody>
              {path.services.map((share) => (
                <tr key={identityKey(serviceOf(share))}>
                  <th scope="row">
                    <Service of={serviceOf(share)} />
                  </th>
                  <td className="num">{duration(share.self_ms)}</td>
                  <td className="num share">
                    <b>{percent(share.percentage / 100)}</b>
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          {network > 0 && (
            <p className="soft small">
              Of this, {duration(network)} lie between callers and callees; they count as the caller's.
            </p>
          )}
        </div>
        {savings.length > 0 && (
          // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be scrollable by keyboard.
          <section className="savings scroll-x" tabIndex={0} aria-label="What would be saved">
            <table className="table">
              <caption>What the trace would save</caption>
              <thead>
                <tr>
                  <th scope="col">Operation</th>
                  <th scope="col" className="num">
                    Own time
                  </th>
                  <th scope="col" className="num">
                    Saved if it took none
                  </th>
                  <th scope="col" className="num">
                    Slack
                  </th>
                </tr>
              </thead>
              <tbody>
                {savings.map((saving) => (
                  <tr key={`${identityKey(serviceOf(saving))} ${saving.operation} ${saving.part}`}>
                    <th scope="row">
                      <span className="cut operation">
                        <Service of={serviceOf(saving)} /> <span className="soft">{saving.operation}</span>
                        {saving.part !== "own" && <span className="chip plain">{saving.part}</span>}
                      </span>
                    </th>
                    <td className="num">{duration(saving.self_ms)}</td>
                    <td className="num">{duration(saving.saved_if_zero_ms)}</td>
                    <td className="num soft">{saving.slack_ms > 0 ? duration(saving.slack_ms) : "none"}</td>
                  </tr>
                ))}
              </tbody>
            </table>
          </section>
        )}
      </div>
    </section>
  );
}

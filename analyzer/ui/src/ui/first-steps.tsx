// Nothing has come in yet: what to do next, ready to be copied.

import { useState } from "react";
import { Icon } from "./icons";

/** The address that sidecars report to: the analyzer's machine, OTLP's usual port. */
function reportTo(): string {
  return `http://${window.location.hostname || "127.0.0.1"}:4317`;
}

export function FirstSteps() {
  return (
    <section className="card first-steps" aria-labelledby="first-steps">
      <header>
        <h2 id="first-steps">No spans have come in yet</h2>
      </header>
      <p>The analyzer is ready. As soon as one sidecar reports, services and calls appear here by themselves.</p>
      <ol>
        <li>
          <h3>See it work: five services, each behind a sidecar, none with tracing code</h3>
          <Command text="raceway demo" />
          <p>
            From the source tree: <code>cargo run --release -- demo</code>. It brings an analyzer and a page of its own.
          </p>
        </li>
        <li>
          <h3>Put a sidecar before a service of yours</h3>
          <Command
            text={`raceway-proxy --service orders --inbound 0.0.0.0:8080=127.0.0.1:9090 \\\n  --outbound 127.0.0.1:15001 --analyzer ${reportTo()}`}
          />
          <p>
            Callers use port 8080, the service listens on 9090 and calls others with{" "}
            <code>http_proxy=127.0.0.1:15001</code>.
          </p>
        </li>
        <li>
          <h3>Or send spans of an OpenTelemetry SDK</h3>
          <Command text={`OTEL_EXPORTER_OTLP_ENDPOINT=${reportTo()}`} />
        </li>
      </ol>
    </section>
  );
}

function Command({ text }: { text: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), 1500);
    } catch {
      // No permission: the text can still be marked by hand.
    }
  };
  return (
    <div className="command-line">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a command wider than the page must be scrollable by keyboard. */}
      <pre className="command" tabIndex={0}>
        {text}
      </pre>
      <button type="button" className="button" onClick={copy}>
        <Icon name={copied ? "check" : "copy"} />
        <span aria-live="polite">{copied ? "Copied" : "Copy"}</span>
      </button>
    </div>
  );
}

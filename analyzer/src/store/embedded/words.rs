//! Attribute names that nearly every span carries: stored as a number, read back without an allocation.

/// The names, at the places that format 1 gave them: append only, never reorder. A change of place is a new format.
const WORDS: &[&str] = &[
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "deployment.environment.name",
    "host.name",
    "telemetry.sdk.name",
    "telemetry.sdk.language",
    "telemetry.sdk.version",
    "process.pid",
    "process.executable.name",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.pod.uid",
    "k8s.node.name",
    "k8s.deployment.name",
    "container.id",
    "http.request.method",
    "url.full",
    "url.path",
    "url.scheme",
    "url.query",
    "http.route",
    "http.response.status_code",
    "server.address",
    "server.port",
    "client.address",
    "client.port",
    "network.peer.address",
    "network.peer.port",
    "network.protocol.name",
    "network.protocol.version",
    "network.transport",
    "user_agent.original",
    "error.type",
    "http.request.body.size",
    "http.response.body.size",
    "http.request.resend_count",
    "peer.service",
    "raceway.strand",
    "raceway.clock.receive",
    "raceway.clock.respond",
    "raceway.clock.end",
    "raceway.clock.send",
    "raceway.clock.reply",
    "raceway.caller.service",
    "raceway.caller.instance",
    "raceway.app.span_id",
    "raceway.parent.method",
    "raceway.parent.p",
    "raceway.parent.candidates",
    "raceway.first_byte_ns",
    "raceway.link",
    "raceway.event",
    "raceway.event.id",
    "raceway.event.parent_id",
    "raceway.event.kind",
    "raceway.upstream_span_id",
    "thread.id",
    "thread.name",
    "code.function.name",
    "code.file.path",
    "code.line.number",
    "db.system.name",
    "db.query.text",
    "db.operation.name",
    "db.namespace",
    "db.collection.name",
    "messaging.system",
    "messaging.operation.type",
    "messaging.destination.name",
    "rpc.system",
    "rpc.service",
    "rpc.method",
    "exception.type",
    "exception.message",
    "exception.stacktrace",
    "http.method",
    "http.status_code",
    "http.url",
    "http.target",
    "http.scheme",
    "net.peer.name",
    "net.peer.port",
    "net.host.name",
    "net.host.port",
    "db.system",
    "db.statement",
    "deployment.environment",
];

/// The number of a name, if it has one.
pub(super) fn number(word: &str) -> Option<u64> {
    use std::collections::HashMap;
    use std::sync::LazyLock;
    static NUMBERS: LazyLock<HashMap<&'static str, u64>> =
        LazyLock::new(|| WORDS.iter().zip(0..).map(|(&word, number)| (word, number)).collect());
    NUMBERS.get(word).copied()
}

/// The name with a number.
pub(super) fn word(number: u64) -> Option<&'static str> {
    WORDS.get(usize::try_from(number).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_one_place() {
        for (at, text) in (0..).zip(WORDS) {
            assert_eq!(number(text), Some(at), "{text} stands twice");
            assert_eq!(word(at), Some(*text));
        }
        assert_eq!(number("no such attribute"), None);
        assert_eq!(word(u64::MAX), None);
    }

    #[test]
    fn places_of_format_1_stay() {
        assert_eq!(
            [number("service.name"), number("http.route"), number("raceway.event")],
            [Some(0), Some(23), Some(54)]
        );
    }
}

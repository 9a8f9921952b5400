//! Whatever the trace headers hold, the request passes, and what cannot be read counts as absent.

use raceway_tests::{Stack, http};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// The span id that a caller's raceway-clock names for its callee.
const MINTED: &str = "b7ad6b7169203331";

/// A valid header with one flaw, or several lines of it.
struct Row {
    flaw: &'static str,
    name: &'static str,
    values: Vec<Vec<u8>>,
}

fn row(flaw: &'static str, name: &'static str, value: impl Into<Vec<u8>>) -> Row {
    Row { flaw, name, values: vec![value.into()] }
}

fn traceparents() -> Vec<Row> {
    let valid = format!("00-{TRACE}-{PARENT}-01");
    let with = |from: &str, to: &str| valid.replacen(from, to, 1);
    vec![
        row("empty", "traceparent", ""),
        row("one digit short", "traceparent", &valid[..valid.len() - 1]),
        row("flags missing", "traceparent", &valid[..valid.len() - 2]),
        row("one digit more", "traceparent", format!("{valid}0")),
        row("version 00 with a fifth field", "traceparent", format!("{valid}-00")),
        row("version ff", "traceparent", with("00-", "ff-")),
        row("version not hex", "traceparent", with("00-", "0g-")),
        row("trace id all zero", "traceparent", with(TRACE, &"0".repeat(32))),
        row("parent all zero", "traceparent", with(PARENT, &"0".repeat(16))),
        row("upper case", "traceparent", with("4bf9", "4BF9")),
        row("a sign instead of a digit", "traceparent", with("-00f0", "-+0f0")),
        row("a letter beyond f", "traceparent", with("4bf9", "4bg9")),
        row("spaces inside", "traceparent", with("4bf9", "4b 9")),
        row("underscores for dashes", "traceparent", valid.replace('-', "_")),
        row("bytes that are not text", "traceparent", [b"00-\xff\xfe\xfd".as_slice(), &[0x80; 48]].concat()),
        row("8 KiB of it", "traceparent", valid.repeat(150)),
        Row { flaw: "twice", name: "traceparent", values: vec![valid.clone().into(), valid.clone().into()] },
    ]
}

fn others() -> Vec<Row> {
    let clock = |json: &str| format!("v1;{}", base64url(json.as_bytes()));
    let uuid = "4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    let whole = |clock: &str| {
        format!(
            r#"{{"trace_id":"{uuid}","span_id":"{MINTED}","parent_span_id":null,"service":"a","instance":"i","clock":{clock}}}"#
        )
    };
    vec![
        row("no version", "raceway-clock", base64url(whole("[]").as_bytes())),
        row("unknown version", "raceway-clock", clock(&whole("[]")).replacen("v1", "v2", 1)),
        row("not base64", "raceway-clock", "v1;@@@@"),
        row("nothing inside", "raceway-clock", "v1;"),
        row("not JSON", "raceway-clock", clock("{")),
        row("not an object", "raceway-clock", clock("[1,2,3]")),
        row("clock null", "raceway-clock", clock(&whole("null"))),
        row("negative count", "raceway-clock", clock(&whole(r#"[["a#i",-5]]"#))),
        row("count not a number", "raceway-clock", clock(&whole(r#"[["a#i",NaN]]"#))),
        row("count beyond 2^53", "raceway-clock", clock(&whole(r#"[["a#i",9007199254740993]]"#))),
        row("count beyond 2^64", "raceway-clock", clock(&whole(r#"[["a#i",99999999999999999999999]]"#))),
        row("entry of three", "raceway-clock", clock(&whole(r#"[["a#i",1,2]]"#))),
        row("span id all zero", "raceway-clock", clock(&whole("[]").replace(MINTED, "0000000000000000"))),
        row("span id too short", "raceway-clock", clock(&whole("[]").replace(MINTED, "f0"))),
        row("deeply nested", "raceway-clock", clock(&whole(&"[".repeat(3_000)))),
        row(
            "a thousand entries",
            "raceway-clock",
            clock(&whole(&format!("[{}]", vec![r#"["a#i~1",1]"#; 1_000].join(",")))),
        ),
        row("not JSON", "X-Raceway-VC", "service-a=5"),
        row("a list", "X-Raceway-VC", "[5]"),
        row("negative", "X-Raceway-VC", r#"{"service-a":-5}"#),
        row("a fraction", "X-Raceway-VC", r#"{"service-a":5.5}"#),
        row("far too large", "X-Raceway-VC", r#"{"service-a":1e400}"#),
        row("deeply nested", "X-Raceway-VC", "{\"a\":".repeat(3_000)),
        row("not text", "X-Raceway-VC", [0xff, 0xfe, b'{', 0x80]),
        row("no id", "X-Raceway-Trace-Id", ""),
        row("any text", "X-Raceway-Trace-Id", "order 66; drop table"),
        row("not text", "X-Raceway-Trace-Id", [0xff; 40]),
        row("no equals sign", "tracestate", "rojo"),
        row("empty members", "tracestate", ",,,,"),
        row("an upper-case key", "tracestate", "ROJO=1"),
        row("too many members", "tracestate", (0..60).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",")),
        row("our member, unreadable", "tracestate", "raceway=m:zz;p:-1"),
        row("our member, p too large", "tracestate", "raceway=m:h;p:99999"),
        row("4 KiB of it", "tracestate", format!("rojo={}", "x".repeat(4_096))),
        row("no value", "baggage", "=,;=;,="),
        row("not text", "baggage", [0xff; 64]),
        row("not b3", "b3", "1-2-3-4-5-6"),
        row("not hex", "X-B3-TraceId", "zzzz"),
        row("not jaeger's", "uber-trace-id", "::::"),
    ]
}

#[tokio::test]
async fn a_traceparent_that_cannot_be_read_counts_as_absent() {
    let stack = Stack::start(["orders"]).await;
    for Row { flaw, name, values } in traceparents() {
        let headers: Vec<(&str, &[u8])> = values.iter().map(|value| (name, value.as_slice())).collect();
        let answer = http::get(stack.door(), "/orders/1", &headers).await;
        assert_eq!(answer.status, 200, "{name}, {flaw}: {answer:?}");
        let seen = stack.app("orders").seen().pop().expect("it passed");
        let given: Vec<_> = seen.headers.get_all("traceparent").iter().collect();
        assert_eq!(given.len(), 1, "{flaw}: {given:?}");
        let given = given[0].to_str().expect("ours is text");
        assert!(given.len() == 55 && given.starts_with("00-") && !given.contains(TRACE), "{flaw}: {given}");
    }
    stack.settle().await;
    assert_eq!(stack.analyzer().traces().await.len(), traceparents().len(), "each began a trace of its own");
    stack.stop().await;
}

#[tokio::test]
async fn beside_a_good_traceparent_nothing_else_can_do_harm() {
    let stack =
        Stack::of(["orders"]).flag("orders", "--propagators=tracecontext,baggage,raceway,b3,jaeger").start().await;
    let good = format!("00-{TRACE}-{PARENT}-01");
    for Row { flaw, name, values } in others() {
        let mut headers: Vec<(&str, &[u8])> = vec![("traceparent", good.as_bytes())];
        headers.extend(values.iter().map(|value| (name, value.as_slice())));
        let answer = http::get(stack.door(), "/orders/1", &headers).await;
        assert_eq!(answer.status, 200, "{name}, {flaw}: {answer:?}");
        let seen = stack.app("orders").seen().pop().expect("it passed");
        let given = seen.header("traceparent").expect("there is one");
        assert!(given.starts_with(&format!("00-{TRACE}-")) && given.ends_with("-01"), "{name}, {flaw}: {given}");
        assert!(!given.contains(PARENT), "{name}, {flaw}: the parent is the sidecar's span, not the caller's: {given}");
    }
    stack.settle().await;
    let trace = stack.analyzer().only_trace().await;
    for span in &trace.spans {
        assert_eq!(span.parent_span_id.as_deref(), Some(PARENT), "{span:?}");
    }
    stack.stop().await;
}

/// Base64 with the URL alphabet and no padding (RFC 4648, section 5).
fn base64url(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(bits >> (18 - 6 * place)) as usize & 63]));
        }
    }
    text
}

#[test]
fn base64url_is_base64url() {
    for (bytes, text) in [("", ""), ("f", "Zg"), ("fo", "Zm8"), ("foo", "Zm9v"), ("\u{3ff}>", "z78-")] {
        assert_eq!(base64url(bytes.as_bytes()), text);
    }
}

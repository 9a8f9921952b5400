//! Answers that two readers could understand differently: callers must not be given them.

use std::sync::Arc;

use super::stage::{Stage, send};

/// A flaw, the answer, and the reason that ours and the counter give.
type Row = (&'static str, String, &'static str);

fn line(flaw: &'static str, line: &str, reason: &'static str) -> Row {
    (flaw, format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n0\r\n\r\nHTTP/1.1 200 Smuggled\r\n\r\n"), reason)
}

fn raw(flaw: &'static str, answer: impl Into<String>, reason: &'static str) -> Row {
    (flaw, answer.into(), reason)
}

fn heads() -> Vec<Row> {
    vec![
        line("CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked", "content_length_and_transfer_encoding"),
        line("TE.TE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "several_transfer_encodings"),
        line("an unknown coding", "Transfer-Encoding: xchunked", "bad_transfer_encoding"),
        line("lengths that differ", "Content-Length: 0\r\nContent-Length: 5", "several_content_lengths"),
        line("a signed length", "Content-Length: +5", "bad_content_length"),
        line("a space before the colon", "Content-Length : 5", "space_before_colon"),
        line("a folded line", "X: a\r\n b", "folded_line"),
        line("a bare LF", "X: a\nSet-Cookie: b", "bare_lf"),
        line("a bare CR", "X: a\rSet-Cookie: b", "control_character_in_value"),
        line("a NUL", "X: a\0", "control_character_in_value"),
        line("a name that is none", "X Y: 1", "space_before_colon"),
        raw("a body on 204", "HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", "body_on_bodyless_status"),
        raw("a body on 103", "HTTP/1.1 103 Hints\r\nContent-Length: 5\r\n\r\nhello", "body_on_bodyless_status"),
        raw(
            "a switch nobody asked for",
            "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "unasked_upgrade",
        ),
        raw("no HTTP", "220 mail.example ESMTP ready\r\n\r\n", "bad_http_version"),
        raw("a status that is none", "HTTP/1.1 2000 OK\r\n\r\n", "bad_status"),
        raw("another version", "HTTP/3.0 200 OK\r\n\r\n", "unsupported_http_version"),
        raw(
            "70 KB in one line",
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            "answer_head_too_large",
        ),
        raw("1,000 lines", format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(1_000)), "answer_head_too_large"),
    ]
}

fn bodies() -> Vec<Row> {
    let chunked = |flaw: &'static str, body: &str| {
        raw(
            flaw,
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}HTTP/1.1 200 Smuggled\r\n\r\n"),
            "answer_cut_short",
        )
    };
    vec![
        chunked("a size with a space", "5 \r\nhello\r\n0\r\n\r\n"),
        chunked("a signed size", "+5\r\nhello\r\n0\r\n\r\n"),
        chunked("a size that ends in LF", "5\nhello\r\n0\r\n\r\n"),
        chunked("more data than the size", "4\r\nhello\r\n0\r\n\r\n"),
        chunked("a trailer that frames", "0\r\nContent-Length: 5\r\n\r\n"),
    ]
}

async fn run(rows: Vec<Row>, good: impl Fn(&str, &str) -> bool) {
    let answers: Vec<String> = rows.iter().map(|(_, answer, _)| answer.clone()).collect();
    let says = move |head: &str| {
        let place = head.strip_prefix("GET /evil/").and_then(|rest| rest.split(' ').next()?.parse::<usize>().ok());
        let answer = place.and_then(|place| answers.get(place));
        answer.map_or(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), |answer| answer.clone().into_bytes())
    };
    let mut stage = Stage::saying(&[], Arc::new(says)).await;
    let mut wrong = Vec::new();
    for (place, (flaw, _, reason)) in rows.iter().enumerate() {
        let label = format!("reason=\"{reason}\"");
        let before = stage.chain.outermost().metric("upstream_failures_total", &[&label]).await;
        // The second request must not be answered by what stands behind the first answer.
        let request = format!("GET /evil/{place} HTTP/1.1\r\nHost: app\r\n\r\n");
        let answer = send(stage.door(), request.as_bytes()).await;
        if !good(&answer, reason) || answer.contains("Smuggled") {
            wrong.push(format!("{flaw}: {answer}"));
        }
        let counted = stage.chain.outermost().metric("upstream_failures_total", &[&label]).await - before;
        if (counted - 1.0).abs() > f64::EPSILON {
            wrong.push(format!("{flaw}: counted {counted} times"));
        }
        stage.others_are_well().await;
    }
    stage.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn answers_that_can_be_read_in_two_ways_are_a_502() {
    run(heads(), |answer, reason| {
        answer.starts_with("HTTP/1.1 502 ")
            && answer.contains(&format!("x-raceway-error: {reason}\r\n"))
            && answer.matches("HTTP/1.1 ").count() == 1
    })
    .await;
}

#[tokio::test]
async fn answers_with_flawed_chunks_break_off() {
    run(bodies(), |answer, _| answer.starts_with("HTTP/1.1 200 ") && !answer.ends_with("0\r\n\r\n")).await;
}

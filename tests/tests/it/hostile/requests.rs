//! Requests that two readers could understand differently, each a valid one with one flaw.

use super::stage::{Stage, send};

/// A flaw, the bytes, and the reason that the answer and the counter give.
type Row = (&'static str, Vec<u8>, &'static str);

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: app\r\n\r\n";

/// A request with one more header line, and something behind it that must not be taken for a request.
fn line(flaw: &'static str, line: &str, reason: &'static str) -> Row {
    raw(flaw, format!("POST /evil HTTP/1.1\r\nHost: app\r\n{line}\r\n\r\n0\r\n\r\n{SMUGGLED}"), reason)
}

fn raw(flaw: &'static str, bytes: impl AsRef<[u8]>, reason: &'static str) -> Row {
    (flaw, bytes.as_ref().to_vec(), reason)
}

fn fields(count: usize) -> String {
    (0..count).fold("GET /evil HTTP/1.1\r\nHost: app\r\n".to_owned(), |head, n| head + &format!("X-{n}: {n}\r\n"))
        + "\r\n"
}

fn heads() -> Vec<Row> {
    vec![
        line("CL.TE", "Content-Length: 5\r\nTransfer-Encoding: chunked", "content_length_and_transfer_encoding"),
        line("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 5", "content_length_and_transfer_encoding"),
        line("TE.TE, another one", "Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "several_transfer_encodings"),
        line(
            "TE.TE, the same",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "several_transfer_encodings",
        ),
        line("TE.TE, case", "Transfer-Encoding: chunked\r\ntransfer-encoding: identity", "several_transfer_encodings"),
        line("an unknown coding", "Transfer-Encoding: xchunked", "bad_transfer_encoding"),
        line("a list that ends otherwise", "Transfer-Encoding: chunked, identity", "bad_transfer_encoding"),
        line("a list that ends in chunked", "Transfer-Encoding: gzip, chunked", "bad_transfer_encoding"),
        line("a coding with a parameter", "Transfer-Encoding: chunked;a=b", "bad_transfer_encoding"),
        line("a coding in quotes", "Transfer-Encoding: \"chunked\"", "bad_transfer_encoding"),
        line("no coding", "Transfer-Encoding:", "bad_transfer_encoding"),
        line("a tab before the coding", "Transfer-Encoding:\tchunked", "bad_transfer_encoding"),
        line("a vertical tab", "Transfer-Encoding:\x0bchunked", "control_character_in_value"),
        line("a space before the colon", "Transfer-Encoding : chunked", "space_before_colon"),
        line("a NUL in the name", "Transfer-Encoding\0: chunked", "bad_field_name"),
        line(
            "an underscore is another name, with a length",
            "Content-Length: 5\r\nContent-Length : 6",
            "space_before_colon",
        ),
        line("a line that is folded", "X: a\r\n Transfer-Encoding: chunked", "folded_line"),
        line("a fold by tab", "Transfer-Encoding:\r\n\tchunked", "bad_transfer_encoding"),
        line("a bare LF", "X: a\nTransfer-Encoding: chunked", "bare_lf"),
        line("a bare CR", "X: a\rTransfer-Encoding: chunked", "control_character_in_value"),
        line("a NUL in a value", "X: a\0b", "control_character_in_value"),
        line("a DEL in a value", "X: a\x7fb", "control_character_in_value"),
        line("lengths that differ", "Content-Length: 0\r\nContent-Length: 5", "several_content_lengths"),
        line("lengths that agree", "Content-Length: 5\r\nContent-Length: 5", "several_content_lengths"),
        line("a list of lengths", "Content-Length: 5, 5", "bad_content_length"),
        line("a signed length", "Content-Length: +5", "bad_content_length"),
        line("a negative length", "Content-Length: -5", "bad_content_length"),
        line("a length in hex", "Content-Length: 0x5", "bad_content_length"),
        line("a length with a space", "Content-Length: 5 0", "bad_content_length"),
        line("no length", "Content-Length:", "bad_content_length"),
        line("a length beyond 2^64", "Content-Length: 18446744073709551621", "bad_content_length"),
        line("two hosts", "Host: app", "several_hosts"),
        line("a name that is none", "X(Y): 1", "bad_field_name"),
        line("an empty name", ": 1", "empty_field_name"),
        line("no colon", "Transfer-Encoding", "no_colon"),
        raw("no host", "GET /evil HTTP/1.1\r\nX: y\r\n\r\n", "no_host"),
        raw("a host that is none", "GET /evil HTTP/1.1\r\nHost: a b\r\n\r\n", "bad_host"),
        raw("a host with a path", "GET /evil HTTP/1.1\r\nHost: a/b\r\n\r\n", "bad_host"),
        raw("a host with a user", "GET /evil HTTP/1.1\r\nHost: a@b\r\n\r\n", "bad_host"),
        raw(
            "a target of another host",
            "GET http://other/evil HTTP/1.1\r\nHost: app\r\n\r\n",
            "host_contradicts_target",
        ),
        raw("a target with a user", "GET http://app@other/evil HTTP/1.1\r\nHost: app\r\n\r\n", "bad_target"),
        raw("a target with a fragment", "GET http://other#/evil HTTP/1.1\r\nHost: app\r\n\r\n", "bad_target"),
        raw("two spaces", "GET  /evil HTTP/1.1\r\nHost: app\r\n\r\n", "bad_target"),
        raw("a tab in the line", "GET /evil\tHTTP/1.1 HTTP/1.1\r\nHost: app\r\n\r\n", "bad_target"),
        raw("a target without slash", "GET evil HTTP/1.1\r\nHost: app\r\n\r\n", "bad_target"),
        raw("lines end in LF", "GET /evil HTTP/1.1\nHost: app\n\n", "bare_lf"),
        raw("a version of tomorrow", "GET /evil HTTP/1.2\r\nHost: app\r\n\r\n", "unsupported_http_version"),
        raw("a version that is none", "GET /evil HTTP/1.10\r\nHost: app\r\n\r\n", "bad_http_version"),
        raw("HTTP/2 in words", "GET /evil HTTP/2.0\r\nHost: app\r\n\r\n", "unsupported_http_version"),
        raw(
            "HTTP/1.0 with chunks",
            "POST /evil HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "transfer_encoding_on_http_1_0",
        ),
        raw(
            "CONNECT with a body",
            "CONNECT evil:1 HTTP/1.1\r\nHost: evil:1\r\nContent-Length: 5\r\n\r\nhello",
            "body_on_connect",
        ),
        raw("CONNECT without a port", "CONNECT evil HTTP/1.1\r\nHost: evil\r\n\r\n", "bad_target"),
        raw("1,000 header lines", fields(1_000), "too_many_fields"),
        raw("201 header lines", fields(200), "too_many_fields"),
        raw(
            "70 KB in one line",
            format!("GET /evil HTTP/1.1\r\nHost: app\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            "head_too_large",
        ),
        raw(
            "70 KB of target",
            format!("GET /evil{} HTTP/1.1\r\nHost: app\r\n\r\n", "x".repeat(70_000)),
            "head_too_large",
        ),
        raw("70 KB without an end", format!("GET /evil{}", "x".repeat(70_000)), "head_too_large"),
    ]
}

/// Bodies whose chunks are flawed, behind a head that is fine.
fn bodies() -> Vec<Row> {
    let chunked = |flaw: &'static str, body: &str, reason: &'static str| {
        raw(
            flaw,
            format!("POST /evil HTTP/1.1\r\nHost: app\r\nTransfer-Encoding: chunked\r\n\r\n{body}{SMUGGLED}"),
            reason,
        )
    };
    vec![
        chunked("a size with a space", "5 \r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("a signed size", "+5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("a negative size", "-5\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("no size", "\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("a size that ends in LF", "5\nhello\r\n0\r\n\r\n", "bare_lf"),
        chunked("an extension that ends in LF", "5;a\nhello\r\n0\r\n\r\n", "bare_lf"),
        chunked("an extension with a bare CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", "control_character_in_chunk_extension"),
        chunked("an extension without a semicolon", "5 a=b\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("a size beyond 2^64", "10000000000000005\r\nhello\r\n0\r\n\r\n", "bad_chunk_size"),
        chunked("more data than the size", "4\r\nhello\r\n0\r\n\r\n", "no_crlf_after_chunk"),
        chunked("data that ends in LF", "5\r\nhello\n0\r\n\r\n", "no_crlf_after_chunk"),
        chunked("data that ends in two CR", "5\r\nhello\r\r\n0\r\n\r\n", "no_crlf_after_chunk"),
        chunked("a trailer that frames", "0\r\nContent-Length: 5\r\n\r\n", "forbidden_trailer"),
        chunked("a trailer that routes", "0\r\nHost: other\r\n\r\n", "forbidden_trailer"),
        chunked("a trailer that ends in LF", "0\r\nX: y\n\r\n", "bare_lf"),
        chunked("a trailer that is folded", "0\r\nX: y\r\n z\r\n\r\n", "folded_line"),
        chunked(
            "70 KB of trailers",
            &format!("0\r\nX: {}\r\n\r\n", "x".repeat(70_000)),
            "chunk_line_or_trailers_too_large",
        ),
    ]
}

#[tokio::test]
async fn what_can_be_read_in_two_ways_is_refused() {
    let mut stage = Stage::new(&[]).await;
    let mut wrong = Vec::new();
    for (flaw, bytes, reason) in heads() {
        let label = format!("reason=\"{reason}\"");
        let before = stage.chain.outermost().metric("refused_total", &[&label]).await;
        let answer = send(stage.door(), &bytes).await;
        let status = if matches!(reason, "too_many_fields" | "head_too_large") { "431" } else { "400" };
        let good = answer.starts_with(&format!("HTTP/1.1 {status} "))
            && answer.contains(&format!("x-raceway-error: {reason}\r\n"));
        if !good || answer.matches("HTTP/1.1 ").count() != 1 {
            wrong.push(format!("{flaw}: {answer}"));
        }
        let heard = stage.heard();
        if heard.contains("evil") || heard.contains("smuggled") {
            wrong.push(format!("{flaw}: the application heard {heard:?}"));
        }
        let counted = stage.chain.outermost().metric("refused_total", &[&label]).await - before;
        if good && (counted - 1.0).abs() > f64::EPSILON {
            wrong.push(format!("{flaw}: counted {counted} times"));
        }
        stage.others_are_well().await;
    }
    stage.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn chunks_that_can_be_read_in_two_ways_end_the_connection() {
    let mut stage = Stage::new(&[]).await;
    let mut wrong = Vec::new();
    for (flaw, bytes, reason) in bodies() {
        let label = format!("reason=\"{reason}\"");
        let before = stage.chain.outermost().metric("refused_total", &[&label]).await;
        let answer = send(stage.door(), &bytes).await;
        // The application has the head, so its answer may come first.
        let refused = answer.starts_with("HTTP/1.1 400 ") && answer.contains(&format!("x-raceway-error: {reason}\r\n"));
        if !(refused || answer.starts_with("HTTP/1.1 200 ")) || answer.matches("HTTP/1.1 ").count() != 1 {
            wrong.push(format!("{flaw}: {answer}"));
        }
        let heard = stage.heard();
        if heard.contains("smuggled") {
            wrong.push(format!("{flaw}: the application heard {heard:?}"));
        }
        let counted = stage.chain.outermost().metric("refused_total", &[&label]).await - before;
        if (counted - 1.0).abs() > f64::EPSILON {
            wrong.push(format!("{flaw}: counted {counted} times"));
        }
        stage.others_are_well().await;
    }
    stage.stop().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

//! Every header's codec, in tables: a valid value, and the same with one flaw.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

use raceway_trace::b3::{self, B3, InvalidB3, Multi, Sampling};
use raceway_trace::baggage::{Baggage, InvalidBaggage};
use raceway_trace::jaeger::{InvalidUberTraceId, UberTraceId};
use raceway_trace::traceparent::{InvalidTraceparent, Traceparent};
use raceway_trace::tracestate::{InvalidTracestate, Member, Method, Probability, Tracestate};
use raceway_trace::x_raceway::{InvalidXTraceId, Projection, XTraceId};

const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// The valid value with its first `from` replaced.
fn flawed(valid: &str, from: &str, to: &str) -> String {
    assert!(valid.contains(from), "{valid} holds no {from}");
    valid.replacen(from, to, 1)
}

#[test]
fn traceparent_valid() {
    // (instead of, stands, flags, sampled, random)
    let rows = [
        ("-01", "-01", 0x01, true, false),
        ("-01", "-00", 0x00, false, false),
        ("-01", "-03", 0x03, true, true),
        ("-01", "-02", 0x02, false, true),
        ("-01", "-ff", 0xff, true, true),
    ];
    for (from, to, bits, sampled, random) in rows {
        let value = flawed(TRACEPARENT, from, to);
        let read = Traceparent::parse(value.as_bytes()).expect(&value);
        assert_eq!((read.flags.bits(), read.flags.sampled(), read.flags.random()), (bits, sampled, random), "{value}");
        assert_eq!(read.to_bytes(), value.as_bytes(), "flags stay as they came");
        assert_eq!(read.to_string(), value);
    }
}

#[test]
fn traceparent_of_a_later_version_is_read_by_its_first_four_fields() {
    let expected = Traceparent::parse(TRACEPARENT.as_bytes()).expect("valid");
    for value in [
        flawed(TRACEPARENT, "00-", "01-"),
        flawed(TRACEPARENT, "00-", "fe-"),
        flawed(TRACEPARENT, "00-", "cc-") + "-what-the-future-brings",
        flawed(TRACEPARENT, "00-", "cc-") + "-",
        // Bits that only the later version knows are not ours to send.
        flawed(&flawed(TRACEPARENT, "00-", "01-"), "-01", "-fd"),
    ] {
        assert_eq!(Traceparent::parse(value.as_bytes()), Ok(expected), "{value}");
    }
    for value in ["cc-", "01-"].map(|version| flawed(TRACEPARENT, "00-", version) + ".more") {
        assert_eq!(Traceparent::parse(value.as_bytes()), Err(InvalidTraceparent::Shape), "{value}");
    }
}

#[test]
fn traceparent_one_flaw_each() {
    use InvalidTraceparent::{Flags, Length, ParentId, Shape, TraceId, Version};
    let rows = [
        (TRACEPARENT, "", Length),
        ("-01", "-0", Length),
        ("-01", "", Length),
        ("-01", "-", Length),
        ("-01", "-01-", Length),
        ("-01", "-011", Length),
        ("-01", "-01-00", Length),
        ("00-", "ff-", Version),
        ("00-", "0A-", Version),
        ("00-", "+0-", Version),
        ("00-", "0 -", Version),
        ("00-4b", "00_4b", Shape),
        ("36-00", "36_00", Shape),
        ("b7-01", "b7_01", Shape),
        ("4bf9", "4Bf9", TraceId),
        ("4bf9", "+bf9", TraceId),
        ("4bf9", "4bg9", TraceId),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000", TraceId),
        ("4bf9", "bf9", Length),
        ("00f067aa0ba902b7", "0000000000000000", ParentId),
        ("00f0", "00F0", ParentId),
        ("00f0", "00-0", ParentId),
        ("-01", "-0A", Flags),
        ("-01", "-0x", Flags),
        ("-01", "- 1", Flags),
    ];
    for (from, to, reason) in rows {
        let value = flawed(TRACEPARENT, from, to);
        assert_eq!(Traceparent::parse(value.as_bytes()), Err(reason), "{value}");
        // The same at the wrong length of a later version must not pass either.
        if reason != Length {
            assert!(Traceparent::parse((value + "-x").as_bytes()).is_err());
        }
    }
}

#[test]
fn optional_white_space_around_a_value_is_no_flaw() {
    assert!(Traceparent::parse(format!(" \t{TRACEPARENT} ").as_bytes()).is_ok());
    assert!(XTraceId::parse(b" 4bf92f3577b34da6a3ce929d0e0e4736\t").is_ok_and(|id| id.text.is_none()));
    assert!(B3::parse_single(b" 0 ").is_ok());
}

fn state(lines: &[&'static str]) -> Result<Tracestate<'static>, InvalidTracestate> {
    Tracestate::parse(lines.iter().map(|line| line.as_bytes()))
}

fn written(state: &Tracestate<'_>, ours: Option<Member>) -> String {
    let mut out = b"before:".to_vec();
    state.write(ours, &mut out);
    String::from_utf8(out).expect("ASCII").strip_prefix("before:").expect("only appended").to_owned()
}

const OURS: Member = Member { method: Method::Sole, p: Probability::CERTAIN };

#[test]
fn tracestate_lines_are_one_list() {
    let rows: [(&[&str], &str); 7] = [
        (&["a=1,b=2"], "a=1,b=2"),
        (&["a=1", "b=2"], "a=1,b=2"),
        (&[" a=1 ,\t b=2 ", "c=3"], "a=1,b=2,c=3"),
        (&["a=1,,b=2,", "", ","], "a=1,b=2"),
        (&["tenant@system=x y!", "0/a_b-c*d=~"], "tenant@system=x y!,0/a_b-c*d=~"),
        (&["a=1,a=2"], "a=1,a=2"),
        (&[], ""),
    ];
    for (lines, expected) in rows {
        let state = state(lines).expect("valid");
        assert_eq!(written(&state, None), expected);
        assert_eq!(state.is_empty(), expected.is_empty());
        let ours = written(&state, Some(OURS));
        assert_eq!(ours.strip_prefix("raceway=m:s").expect("in front").trim_start_matches(','), expected);
    }
}

#[test]
fn tracestate_one_flaw_each() {
    use InvalidTracestate::{Key, Members, Shape, Value};
    let valid = "a=1,congo=t61rcWkgMzE,z=2";
    let rows = [
        ("congo=", "congo", Shape),
        ("congo=", "=", Key),
        ("congo", "Congo", Key),
        ("congo", "con go", Key),
        ("congo", "congo ", Key),
        ("congo", "_congo", Key),
        ("congo", "@congo", Key),
        ("congo", "c\u{f6}ngo", Key),
        ("t61rcWkgMzE", "", Value),
        ("t61rcWkgMzE", "t61=", Value),
        ("t61rcWkgMzE", "t\t61", Value),
        ("t61rcWkgMzE", "t\u{7f}61", Value),
        ("t61rcWkgMzE", "\u{f6}", Value),
    ];
    for (from, to, reason) in rows {
        let value = flawed(valid, from, to);
        assert_eq!(Tracestate::parse([value.as_bytes()]), Err(reason), "{value}");
    }
    for (len, key) in [(256, true), (257, false)] {
        let value = format!("{}=1", "k".repeat(len));
        assert_eq!(Tracestate::parse([value.as_bytes()]).is_ok(), key);
        let value = format!("k={}", "v".repeat(len));
        assert_eq!(Tracestate::parse([value.as_bytes()]).is_ok(), key);
    }
    let many = |count: usize| (0..count).map(|at| format!("k{at}=v")).collect::<Vec<_>>().join(",");
    assert!(Tracestate::parse([many(32).as_bytes()]).is_ok());
    assert_eq!(Tracestate::parse([many(33).as_bytes()]), Err(Members));
    assert_eq!(Tracestate::parse([many(32).as_bytes(), b"more=1"]), Err(Members));
}

#[test]
fn tracestate_our_member() {
    let p = |p| Probability::new(p);
    let rows = [
        ("raceway=m:h", Some((Method::Header, p(1.0)))),
        ("raceway=m:s;p:9000", Some((Method::Sole, p(0.9)))),
        ("raceway=p:0;m:b", Some((Method::Bayes, p(0.0)))),
        ("raceway=m:c;p:9999;k:abc;later:1", Some((Method::Carrier, p(0.9999)))),
        ("other=1,raceway=m:r", Some((Method::Root, p(1.0)))),
        ("raceway=m:t,raceway=m:p", Some((Method::Thread, p(1.0)))),
        ("racewayx=m:h", None),
        ("raceway@x=m:h", None),
        ("raceway=p:9000", None),
        ("raceway=m:x", None),
        ("raceway=m:hh", None),
        ("raceway=m:", None),
        ("raceway=m", None),
        ("raceway=m:h;p:10000", None),
        ("raceway=m:h;p:", None),
        ("raceway=m:h;p:-1", None),
        ("raceway=m:h;p:0.9", None),
        ("raceway=m:h;;", None),
        ("other=1", None),
    ];
    for (value, expected) in rows {
        let state = Tracestate::parse([value.as_bytes()]).expect(value);
        assert_eq!(state.raceway().map(|Member { method, p }| (method, p)), expected, "{value}");
    }
    for method in Method::ALL {
        assert_eq!(Method::from_letter(method.letter()), Some(method));
        assert_eq!(Method::from_word(method.word()), Some(method));
    }
    assert_eq!(Method::ALL.map(|method| method.letter()), *b"hcptsbr");
}

#[test]
fn tracestate_our_old_member_makes_place() {
    let state = state(&["a=1,raceway=m:h,b=2,raceway=m:c"]).expect("valid");
    assert_eq!(written(&state, Some(Member { p: Probability::new(0.5), ..OURS })), "raceway=m:s;p:5000,a=1,b=2");
    assert_eq!(written(&state, None), "a=1,b=2");
}

#[test]
fn tracestate_the_oldest_go_first() {
    let many: Vec<_> = (0..32).map(|at| format!("k{at}=v")).collect();
    let joined = many.join(",");
    let full = Tracestate::parse([joined.as_bytes()]).expect("32 are allowed");
    assert_eq!(written(&full, Some(OURS)), format!("raceway=m:s,{}", many[..31].join(",")));

    // 512 bytes: (member lengths, kept)
    let rows: [(&[usize], &[usize]); 5] = [
        (&[100, 100, 100, 100], &[0, 1, 2, 3]),
        (&[100, 100, 100, 100, 97], &[0, 1, 2, 3]),
        (&[100, 100, 100, 100, 96], &[0, 1, 2, 3, 4]),
        (&[100, 200, 100, 100, 100], &[0, 2, 3, 4]),
        (&[128, 129, 128, 128, 128, 5], &[0, 2, 3]),
    ];
    for (lens, kept) in rows {
        let members: Vec<_> =
            lens.iter().enumerate().map(|(at, len)| format!("{at}={}", "v".repeat(len - 2))).collect();
        let joined = members.join(",");
        let state = Tracestate::parse([joined.as_bytes()]).expect("valid");
        // Our own member with its comma takes 12 bytes.
        let expected: Vec<_> = kept.iter().map(|&at| members[at].as_str()).collect();
        assert_eq!(written(&state, Some(OURS)), format!("raceway=m:s,{}", expected.join(",")), "{lens:?}");
    }
}

#[test]
fn probabilities() {
    let rows =
        [(0.0, 0.0), (1.0, 1.0), (0.99994, 0.9999), (2.0, 1.0), (-1.0, 0.0), (f64::NAN, 0.0), (f64::INFINITY, 1.0)];
    for (p, expected) in rows {
        assert_eq!(Probability::new(p).get(), expected, "{p}");
    }
    let p = Probability::new;
    assert_eq!(p(0.9).product(p(0.9)), p(0.81));
    assert_eq!(p(0.9999).product(p(0.9999)), p(0.9998));
    assert_eq!(p(1.0).product(p(0.3)), p(0.3));
}

#[test]
fn baggage_is_looked_at() {
    let baggage = Baggage::parse([&b"a=1 , b = two%20words ;ttl=30; x"[..], b"c=%zz%41", b""]).expect("valid");
    let entries: Vec<_> = baggage.entries().iter().map(|entry| (entry.key, entry.value, entry.properties)).collect();
    assert_eq!(entries, [("a", "1", ""), ("b", "two%20words", "ttl=30; x"), ("c", "%zz%41", "")]);
    let decoded: Vec<_> = baggage.entries().iter().map(|entry| entry.decoded()).collect();
    assert_eq!(decoded, ["1", "two words", "%zzA"]);
    assert_eq!(baggage.get("b").map(|entry| entry.value), Some("two%20words"));
    assert_eq!(baggage.get("none"), None);
}

#[test]
fn baggage_one_flaw_each() {
    use InvalidBaggage::{Key, Length, Members, Shape, Value};
    let valid = "a=1,user=alice;ttl=30";
    let rows = [
        ("user=", "user", Shape),
        ("user=", "=", Key),
        ("user", "us er", Key),
        ("user", "us(er", Key),
        ("user", "\u{fc}ser", Key),
        ("alice", "al ice", Value),
        ("alice", "al\"ice", Value),
        ("alice", "al\\ice", Value),
        ("alice", "al\u{fc}ce", Value),
        ("ttl", "t\u{1}tl", Value),
    ];
    for (from, to, reason) in rows {
        let value = flawed(valid, from, to);
        assert_eq!(Baggage::parse([value.as_bytes()]), Err(reason), "{value}");
    }
    let long = format!("k={}", "v".repeat(8191));
    assert_eq!(Baggage::parse([long.as_bytes()]), Err(Length));
    assert!(Baggage::parse([&long.as_bytes()[..8192]]).is_ok());
    let many = vec!["k=v"; 65].join(",");
    assert_eq!(Baggage::parse([many.as_bytes()]), Err(Members));
    assert!(Baggage::parse([&many.as_bytes()[4..]]).is_ok());
}

const B3_SINGLE: &str = "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90";

#[test]
fn b3_single_valid() {
    // (value, trace id ends in, parent, sampling, as we write it)
    let rows = [
        (B3_SINGLE, "64fe8b2a57d3eff7", true, Sampling::Accept, B3_SINGLE),
        (&B3_SINGLE[..51], "64fe8b2a57d3eff7", false, Sampling::Accept, &B3_SINGLE[..51]),
        (&B3_SINGLE[..49], "64fe8b2a57d3eff7", false, Sampling::Defer, &B3_SINGLE[..49]),
        (
            "64fe8b2a57d3eff7-e457b5a2e4d86bd1-d",
            "000000000000000064fe8b2a57d3eff7",
            false,
            Sampling::Debug,
            "000000000000000064fe8b2a57d3eff7-e457b5a2e4d86bd1-d",
        ),
        (
            "64FE8B2A57D3EFF7-e457b5a2e4d86bd1-0",
            "000000000000000064fe8b2a57d3eff7",
            false,
            Sampling::Deny,
            "000000000000000064fe8b2a57d3eff7-e457b5a2e4d86bd1-0",
        ),
    ];
    for (value, trace_id, parent, sampling, again) in rows {
        let b3 = B3::parse_single(value.as_bytes()).expect(value);
        let ids = b3.ids.expect("ids");
        assert!(ids.trace_id.to_string().ends_with(trace_id), "{value}");
        assert_eq!((ids.parent_span_id.is_some(), b3.sampling), (parent, sampling), "{value}");
        let mut out = Vec::new();
        b3.write_single(&mut out);
        assert_eq!(out, again.as_bytes());
    }
    for (value, sampled) in [("0", Some(false)), ("1", Some(true)), ("d", Some(true))] {
        let b3 = B3::parse_single(value.as_bytes()).expect(value);
        assert_eq!((b3.ids, b3.sampling.sampled()), (None, sampled));
        let mut out = Vec::new();
        b3.write_single(&mut out);
        assert_eq!(out, value.as_bytes());
    }
}

#[test]
fn b3_single_one_flaw_each() {
    use InvalidB3::{ParentSpanId, Sampling, Shape, SpanId, TraceId};
    let rows = [
        (B3_SINGLE, "", Sampling),
        (B3_SINGLE, "2", Sampling),
        ("3b90", "3b90-", Shape),
        ("80f1", "80f", TraceId),
        ("80f1", "80g1", TraceId),
        ("80f1", "+0f1", TraceId),
        ("80f198ee56343ba864fe8b2a57d3eff7", "00000000000000000000000000000000", TraceId),
        ("80f198ee56343ba864fe8b2a57d3eff7", "0000000000000000", TraceId),
        ("80f198ee56343ba864fe8b2a57d3eff7", "", TraceId),
        ("e457b5a2e4d86bd1", "0000000000000000", SpanId),
        ("e457", "e45", SpanId),
        ("e457b5a2e4d86bd1", "", SpanId),
        ("-1-", "-2-", Sampling),
        ("-1-", "-true-", Sampling),
        ("-1-", "--", Sampling),
        ("05e3ac9a4f6e3b90", "0000000000000000", ParentSpanId),
        ("05e3", "05e", ParentSpanId),
    ];
    for (from, to, reason) in rows {
        let value = flawed(B3_SINGLE, from, to);
        assert_eq!(B3::parse_single(value.as_bytes()), Err(reason), "{value}");
    }
}

#[test]
fn b3_multi() {
    let valid = Multi {
        trace_id: Some(b"80f198ee56343ba864fe8b2a57d3eff7"),
        span_id: Some(b"e457b5a2e4d86bd1"),
        parent_span_id: Some(b"05e3ac9a4f6e3b90"),
        sampled: Some(b"1"),
        flags: None,
    };
    let single = B3::parse_single(B3_SINGLE.as_bytes()).expect("valid");
    assert_eq!(B3::parse_multi(valid), Ok(Some(single)));
    let headers: Vec<_> = single.multi().collect();
    let expected = [(b3::TRACE_ID, 32), (b3::SPAN_ID, 16), (b3::PARENT_SPAN_ID, 16), (b3::SAMPLED, 1)];
    assert_eq!(headers.iter().map(|(name, value)| (*name, value.len())).collect::<Vec<_>>(), expected);

    let sampling = |multi| B3::parse_multi(multi).map(|b3| b3.map(|b3| (b3.ids.is_some(), b3.sampling)));
    let rows = [
        (Multi::default(), Ok(None)),
        (Multi { sampled: Some(b"0"), ..Multi::default() }, Ok(Some((false, Sampling::Deny)))),
        (Multi { sampled: Some(b"true"), ..valid }, Ok(Some((true, Sampling::Accept)))),
        (Multi { sampled: Some(b"false"), ..valid }, Ok(Some((true, Sampling::Deny)))),
        (Multi { sampled: None, ..valid }, Ok(Some((true, Sampling::Defer)))),
        (Multi { flags: Some(b"1"), sampled: None, ..valid }, Ok(Some((true, Sampling::Debug)))),
        (Multi { flags: Some(b"0"), ..valid }, Ok(Some((true, Sampling::Accept)))),
        (Multi { sampled: Some(b"d"), ..valid }, Err(InvalidB3::Sampling)),
        (Multi { sampled: Some(b""), ..valid }, Err(InvalidB3::Sampling)),
        (Multi { trace_id: None, ..valid }, Err(InvalidB3::Shape)),
        (Multi { span_id: None, ..valid }, Err(InvalidB3::Shape)),
        (Multi { trace_id: Some(b"80f1"), ..valid }, Err(InvalidB3::TraceId)),
        (Multi { span_id: Some(b"e457"), ..valid }, Err(InvalidB3::SpanId)),
        (Multi { parent_span_id: Some(b"05e3"), ..valid }, Err(InvalidB3::ParentSpanId)),
    ];
    for (multi, expected) in rows {
        assert_eq!(sampling(multi), expected, "{multi:?}");
    }
}

const UBER: &str = "4bf92f3577b34da6a3ce929d0e0e4736:00f067aa0ba902b7:0:1";

#[test]
fn jaeger_valid() {
    let rows = [
        (UBER, UBER),
        ("4bf92f3577b34da6a3ce929d0e0e4736:f067aa0ba902b7:0:1", UBER),
        ("4bf92f3577b34da6a3ce929d0e0e4736%3A00f067aa0ba902b7%3a0%3A1", UBER),
        ("4BF92F3577B34DA6A3CE929D0E0E4736:00F067AA0BA902B7:0000000000000000:01", UBER),
        ("7:8:9:f", "00000000000000000000000000000007:0000000000000008:0000000000000009:f"),
        ("7:8:0:ab", "00000000000000000000000000000007:0000000000000008:0:ab"),
    ];
    for (value, again) in rows {
        let mut out = Vec::new();
        UberTraceId::parse(value.as_bytes()).expect(value).write(&mut out);
        assert_eq!(out, again.as_bytes(), "{value}");
    }
}

#[test]
fn jaeger_one_flaw_each() {
    use InvalidUberTraceId::{Flags, ParentSpanId, Shape, SpanId, TraceId};
    let rows = [
        (UBER, "", Shape),
        (":0:1", ":0", Shape),
        (":0:1", ":0:1:", Shape),
        (":0:1", ":0%3B1", Shape),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "0", TraceId),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "", TraceId),
        ("4bf9", "4bf99", TraceId),
        ("4bf9", "4bg9", TraceId),
        ("00f067aa0ba902b7", "0", SpanId),
        ("00f0", "000f0", SpanId),
        (":0:1", "::1", ParentSpanId),
        (":0:1", ":x:1", ParentSpanId),
        (":0:1", ":0:", Flags),
        (":0:1", ":0:g", Flags),
        (":0:1", ":0:001", Flags),
    ];
    for (from, to, reason) in rows {
        let value = flawed(UBER, from, to);
        assert_eq!(UberTraceId::parse(value.as_bytes()), Err(reason), "{value}");
    }
}

#[test]
fn x_raceway_trace_id() {
    let id = |text: &str| XTraceId::parse(text.as_bytes());
    for text in ["4bf92f3577b34da6a3ce929d0e0e4736", "4BF92F35-77B3-4DA6-A3CE-929D0E0E4736"] {
        assert_eq!(
            id(text).map(|id| (id.id.to_string(), id.text)),
            Ok(("4bf92f3577b34da6a3ce929d0e0e4736".into(), None))
        );
    }
    // Fixed for all versions: two sidecars must agree.
    assert_eq!(id("order-4711").map(|id| id.id.to_string()).as_deref(), Ok("f23838ac8634d38de40220a226c7b705"));
    for text in ["x", "4bf92f3577b34da6a3ce929d0e0e473", "4bf92f3577b34da6a3ce929d0e0e4736x", "\u{fc}\u{1}"] {
        assert_eq!(id(text).map(|id| id.text).as_ref().map(Option::as_deref), Ok(Some(text)));
    }
    let long = "y".repeat(1000);
    let read = id(&long).expect("any text will do");
    assert_eq!(read.text.as_deref(), Some(&long[..256]));
    assert_ne!(Ok(read.id), id(&long[..256]).map(|id| id.id), "all of it is hashed");
    for (text, reason) in [
        ("", InvalidXTraceId::Empty),
        (" ", InvalidXTraceId::Empty),
        ("0", InvalidXTraceId::Zero),
        ("00000000000000000000000000000000", InvalidXTraceId::Zero),
        ("00000000-0000-0000-0000-000000000000", InvalidXTraceId::Zero),
    ] {
        assert_eq!(id(text), Err(reason), "{text:?}");
    }
}

#[test]
fn x_raceway_vc() {
    let rows = [
        (r#"{"service-a":5}"#, Some(r#"{"service-a":5}"#)),
        (r#" { "b" : 2 , "a" : 1 } "#, Some(r#"{"b":2,"a":1}"#)),
        ("{}", Some("{}")),
        (r#"{"a":1,"a":3,"a":2}"#, Some(r#"{"a":3}"#)),
        // Entries that make no sense are absent, and so is a value that is no object.
        (r#"{"a":0,"b":-1,"c":1.5,"d":NaN,"e":null,"f":"1","g":9007199254740992,"":1,"z":1}"#, Some(r#"{"z":1}"#)),
        (r#"{"a":9007199254740991}"#, Some(r#"{"a":9007199254740991}"#)),
        ("null", Some("{}")),
        ("[]", Some("{}")),
        ("5", Some("{}")),
        // What must be escaped is, so that the value stays a header.
        (r#"{"\u00fc\n\ud83d\ude00\"":1}"#, Some(r#"{"\u00fc\u000a\ud83d\ude00\"":1}"#)),
        ("", None),
        ("{", None),
        (r#"{"a":1"#, None),
        (r#"{"a":1}}"#, None),
        (r#"{"a":01}"#, None),
        (r#"{a:1}"#, None),
        ("service-a=5", None),
    ];
    for (value, expected) in rows {
        let read = Projection::parse(value.as_bytes());
        let again = read.map(|projection| {
            let mut out = Vec::new();
            projection.write(&mut out);
            String::from_utf8(out).expect("ASCII")
        });
        assert_eq!(again.as_deref().ok(), expected, "{value}");
    }
}

#[test]
fn every_reason_has_a_word_and_a_sentence() {
    assert_eq!(InvalidTraceparent::TraceId.reason(), "trace_id");
    assert_eq!(InvalidTraceparent::TraceId.to_string(), "traceparent has no valid trace id");
}

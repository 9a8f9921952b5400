//! `raceway-clock` and the clock within it, in tables: what SDKs send, what they should not, and what has to fit.
#![allow(clippy::indexing_slicing, reason = "in a test a panic is the answer")]

use raceway_trace::clock::{Component, ENTRIES_MAX, NAME_MAX, VALUE_MAX, VectorClock};
use raceway_trace::raceway_clock::{self, InvalidRacewayClock, RacewayClock, RacewayClockRef};
use raceway_trace::stamp::{self, line_len};
use raceway_trace::x_raceway::{Projection, VC_NAME};

/// What the SDK for Rust, crate raceway 0.1.0, sent for `[["shop#w-1",5],["x#y",0]]`.
const FROM_SDK: &str = "v1;eyJjbG9jayI6W1sic2hvcCN3LTEiLDVdLFsieCN5IiwwXV0sImluc3RhbmNlIjoidy0xIiwicGFyZW50X3NwYW5faWQiOiIwMGYwNjdhYTBiYTkwMmI3Iiwic2VydmljZSI6InNob3AiLCJzcGFuX2lkIjoiZWFiMGMyZTMyNzM2NGY0YiIsInRyYWNlX2lkIjoiNGJmOTJmMzUtNzdiMy00ZGE2LWEzY2UtOTI5ZDBlMGU0NzM2In0";

const JSON: &str = r#"{"trace_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","span_id":"eab0c2e327364f4b","parent_span_id":"00f067aa0ba902b7","service":"shop","instance":"w-1","clock":[["shop#w-1",5]]}"#;

fn header(json: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut header = String::from("v1;");
    for triple in json.as_bytes().chunks(3) {
        let bits = triple.iter().enumerate().fold(0u32, |bits, (at, &byte)| bits | u32::from(byte) << (16 - 8 * at));
        let letters = (0..=triple.len()).map(|at| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]));
        header.extend(letters);
    }
    header
}

fn read(json: &str) -> Result<RacewayClock, InvalidRacewayClock> {
    RacewayClock::parse(header(json).as_bytes())
}

/// The valid JSON with its first `from` replaced.
fn flawed(from: &str, to: &str) -> String {
    assert!(JSON.contains(from), "{from}");
    JSON.replacen(from, to, 1)
}

/// `a#x~1 3, b#y~1 2` as a clock.
fn clock(entries: &str) -> VectorClock {
    let entry = |entry: &str| {
        let (name, value) = entry.trim().rsplit_once(' ')?;
        Some((Component::new(name)?, value.parse().ok()?))
    };
    entries.split(',').filter_map(entry).collect()
}

fn component(name: &str) -> Component {
    Component::new(name).expect("not empty")
}

#[test]
fn what_an_sdk_sends_is_read() {
    let read = RacewayClock::parse(FROM_SDK.as_bytes()).expect("valid");
    assert_eq!(read.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(read.span_id.to_string(), "eab0c2e327364f4b");
    assert_eq!(read.parent_span_id.map(|id| id.to_string()).as_deref(), Some("00f067aa0ba902b7"));
    assert_eq!((read.service.as_str(), read.instance.as_str()), ("shop", "w-1"));
    assert_eq!(read.clock, clock("shop#w-1 5"), "a zero is no entry");
}

#[test]
fn values_that_make_no_sense_are_absent_and_not_fatal() {
    // (instead of the clock, entries that are left)
    let rows = [
        (r#"[["shop#w-1",5]]"#, "shop#w-1 5"),
        ("[]", ""),
        ("null", ""),
        ("7", ""),
        ("{}", ""),
        (r#""x""#, ""),
        (r#"[["a",0],["b",-3],["c",1.5],["d",NaN],["e",Infinity],["f",-Infinity],["z",1]]"#, "z 1"),
        (r#"[["a",null],["b","3"],["c",[3]],["d",{}],["e",true],["f",1e3],["z",1]]"#, "z 1"),
        (r#"[["a",9007199254740992],["b",18446744073709551616],["z",9007199254740991]]"#, "z 9007199254740991"),
        (r#"[["a"],[],["b",1,2],[3,"c"],[null,1],["",1],["z",1]]"#, "z 1"),
        (r#"[null,"a",{"b":1},[["c",1]],["z",1]]"#, "z 1"),
        (r#"[["a",1],["a",3],["b",1],["a",2]]"#, "a 3, b 1"),
    ];
    for (value, expected) in rows {
        let read = read(&flawed(r#"[["shop#w-1",5]]"#, value));
        assert_eq!(read.map(|read| read.clock), Ok(clock(expected)), "{value}");
    }
}

#[test]
fn fields_that_make_no_sense() {
    use InvalidRacewayClock::{Json, SpanId, TraceId};
    let rows = [
        (r#""trace_id":"4bf92f35-77b3-4da6-a3ce-929d0e0e4736","#, "", TraceId),
        ("4bf92f35-", "4bf92f3-", TraceId),
        ("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "00000000-0000-0000-0000-000000000000", TraceId),
        (r#""4bf92f35-77b3-4da6-a3ce-929d0e0e4736""#, "null", TraceId),
        (r#""4bf92f35-77b3-4da6-a3ce-929d0e0e4736""#, "[]", TraceId),
        (r#""span_id":"eab0c2e327364f4b","#, "", SpanId),
        ("eab0c2e327364f4b", "eab0c2e327364f4", SpanId),
        ("eab0c2e327364f4b", "0000000000000000", SpanId),
        (r#""eab0c2e327364f4b""#, "1", SpanId),
        ("}", "", Json),
        ("}", "}}", Json),
        ("{", "[", Json),
        (JSON, "", Json),
        (JSON, "null", Json),
        (JSON, "\"\"", Json),
        ("shop", "sh\u{1}p", Json),
        ("shop", "sh\\xp", Json),
        ("5]]", "5]", Json),
        ("5]]", "05]]", Json),
    ];
    for (from, to, reason) in rows {
        assert_eq!(read(&flawed(from, to)), Err(reason), "{from} {to}");
    }
    let parent = |to| read(&flawed(r#""00f067aa0ba902b7""#, to)).map(|read| read.parent_span_id);
    for absent in ["null", r#""null""#, r#""""#, r#""parent-span-1111""#, r#""0000000000000000""#, "7"] {
        assert_eq!(parent(absent), Ok(None), "{absent}");
    }
    for (from, to) in [(r#""shop""#, "null"), (r#""service":"shop","#, ""), (r#""shop""#, "[1]")] {
        assert_eq!(read(&flawed(from, to)).map(|read| read.service), Ok(String::new()));
    }
    // Other forms of the same.
    let same = read(JSON).expect("valid");
    for (from, to) in [
        ("4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("4bf92f35", "4BF92F35"),
        ("{", r#"{"later":{"x":[1,2,{"y":null}]},"#),
        ("{", r#"{"service":"first","#),
        ("shop", r"sh\u006fp"),
    ] {
        assert_eq!(read(&flawed(from, to)).as_ref(), Ok(&same), "{from} {to}");
    }
}

#[test]
fn values_that_are_no_clock() {
    use InvalidRacewayClock::{Base64, Length, Version};
    let valid = header(JSON);
    assert!(RacewayClock::parse(valid.as_bytes()).is_ok());
    assert!(RacewayClock::parse(format!(" {valid}").as_bytes()).is_ok());
    for (from, to, reason) in [
        ("v1;", "", Version),
        ("v1;", "v2;", Version),
        ("v1;", "v1", Version),
        ("v1;", "V1;", Version),
        ("v1;e", "v1;!", Base64),
        ("v1;e", "v1; e", Base64),
        ("v1;ey", "v1;+y", Base64),
    ] {
        assert_eq!(RacewayClock::parse(valid.replacen(from, to, 1).as_bytes()), Err(reason), "{from} {to}");
    }
    assert_eq!(RacewayClock::parse(b""), Err(Version));
    assert_eq!(RacewayClock::parse(&vec![b'v'; raceway_clock::LEN_MAX + 1]), Err(Length));
}

#[test]
fn what_we_write_an_sdk_reads() {
    let sdk = read(JSON).expect("valid");
    let mut out = b"before".to_vec();
    assert_eq!(sdk.as_ref().write(4096, &mut out), Some(0));
    assert_eq!(String::from_utf8_lossy(&out), format!("before{}", header(JSON)));
}

fn fields<'a>(sdk: &'a RacewayClock, clock: &'a VectorClock) -> RacewayClockRef<'a> {
    RacewayClockRef { clock, ..sdk.as_ref() }
}

#[test]
fn what_does_not_fit_is_left_out_from_the_front() {
    let sdk = read(JSON).expect("valid");
    let full = clock("child#c~1 7, old#a~1 300, caller#b~1 20, own#o~1 1");
    let names: Vec<_> = full.iter().map(|(component, _)| component.as_str()).collect();
    let mut whole = Vec::new();
    fields(&sdk, &full).write(4096, &mut whole).expect("fits");
    let mut left = full.len();
    for room in (0..=whole.len()).rev() {
        let mut out = Vec::new();
        let Some(elided) = fields(&sdk, &full).write(room, &mut out) else {
            assert!(out.is_empty() && left <= 1, "the last entry stays until nothing fits");
            left = 0;
            continue;
        };
        assert!(out.len() <= room);
        let read = RacewayClock::parse(&out).expect("valid");
        assert_eq!((read.clock.elided(), read.clock.len() + elided as usize), (elided, 4));
        let kept: Vec<_> = read.clock.iter().map(|(component, _)| component.as_str()).collect();
        assert!(kept.len() <= left && names.ends_with(&kept), "{room}: {kept:?}");
        left = kept.len();
    }
    assert_eq!(left, 0);

    // What is already known to be missing is added.
    let mut tight = Vec::new();
    assert_eq!(fields(&sdk, &full).write(whole.len() - 1, &mut tight), Some(1));
    let once = RacewayClock::parse(&tight).expect("valid");
    let mut tighter = Vec::new();
    assert_eq!(fields(&sdk, &once.clock).write(tight.len() - 1, &mut tighter), Some(1));
    assert_eq!(RacewayClock::parse(&tighter).map(|read| read.clock.elided()), Ok(2));
}

#[test]
fn the_projection_goes_before_any_entry_of_the_clock() {
    let sdk = read(JSON).expect("valid");
    let clock = clock("a#x~1 1, own#o~1 1");
    let projection = Projection::parse(br#"{"a":1,"own":1}"#).expect("valid");
    let both = |others| {
        let mut out = Vec::new();
        let written = stamp::clocks(&fields(&sdk, &clock), Some(&projection), others, &mut out);
        let len = |range: &Option<std::ops::Range<usize>>| range.as_ref().map(|range| range.len());
        let (clock, vc) = (len(&written.clock), len(&written.projection));
        let lines =
            clock.map_or(0, |len| line_len(raceway_clock::NAME, len)) + vc.map_or(0, |len| line_len(VC_NAME, len));
        assert!(others + lines <= stamp::BYTES_MAX || lines == 0);
        assert_eq!(out.len(), clock.unwrap_or(0) + vc.unwrap_or(0), "nothing else is left behind");
        (clock.is_some(), written.elided, vc.is_some(), lines)
    };
    let (.., all) = both(0);
    assert_eq!(both(stamp::BYTES_MAX - all), (true, 0, true, all));
    let (clock, elided, vc, alone) = both(stamp::BYTES_MAX - all + 1);
    assert_eq!((clock, elided, vc), (true, 0, false));
    let (clock, elided, vc, _) = both(stamp::BYTES_MAX - alone + 1);
    assert_eq!((clock, elided, vc), (true, 1, false));
    assert_eq!(both(stamp::BYTES_MAX), (false, 0, false, 0));
    assert_eq!(both(usize::MAX), (false, 0, false, 0));
}

#[test]
fn names_have_an_end() {
    for (len, cut) in [(1, false), (NAME_MAX, false), (NAME_MAX + 1, true), (100_000, true)] {
        let name = "n".repeat(len);
        let component = component(&name);
        assert_eq!((component.len() <= NAME_MAX, component.as_str() != name), (true, cut), "{len}");
    }
    // Long names stay apart and never split a character.
    let [one, other] = ["1", "2"].map(|end| component(&("\u{e9}".repeat(70) + end)));
    assert_ne!(one, other);
    assert_eq!(one, component(&("\u{e9}".repeat(70) + "1")));
    assert!(Component::new("").is_none());
    // A cut name is no strand, however it ended.
    assert!(!component(&format!("s#{}~1", "i".repeat(NAME_MAX))).has_strand());
    // Our own strands stay strands.
    let strand = |instance: &str, k| Component::strand("service", instance, k);
    let long = "i".repeat(200);
    for k in [0, 1, u64::MAX] {
        let own = strand(&long, k);
        assert!(own.has_strand() && own.len() <= NAME_MAX && own.ends_with(&format!("~{k}")), "{own}");
        assert_ne!(own, strand(&(long.clone() + "x"), k));
        assert_eq!(own.service(), "service");
    }
}

#[test]
fn which_components_are_strands() {
    let rows = [
        ("orders#pod-1~42", true, "orders"),
        ("orders#pod~1~42", true, "orders"),
        ("orders#pod-1", false, "orders"),
        ("orders#pod-1~", false, "orders"),
        ("orders#pod-1~x", false, "orders"),
        ("orders#pod-1~-1", false, "orders"),
        ("orders#pod-1~4 ", false, "orders"),
        ("orders~42", false, "orders~42"),
        ("orders~42#pod", false, "orders~42"),
        ("orders", false, "orders"),
        ("#~1", true, ""),
    ];
    for (name, strand, service) in rows {
        let component = component(name);
        assert_eq!((component.has_strand(), component.service()), (strand, service), "{name}");
    }
    assert_eq!(Component::strand("a#b~c", "i#~", 7).as_str(), "a_b_c#i__~7");
}

#[test]
fn a_clock_has_at_most_128_entries_and_keeps_the_last() {
    let many = |count: u64| (1..=count).map(|at| (component(&format!("c{at}")), at)).collect::<VectorClock>();
    assert_eq!((many(128).len(), many(128).elided()), (ENTRIES_MAX, 0));
    let over = many(200);
    assert_eq!((over.len(), over.elided()), (ENTRIES_MAX, 72));
    assert_eq!((over.get("c72"), over.get("c73"), over.get("c200")), (None, Some(73), Some(200)));
    let mut merged = clock("own#o~1 9");
    merged.merge_max(&over);
    assert_eq!((merged.len(), merged.get("own#o~1")), (ENTRIES_MAX, Some(9)));
    assert_eq!(merged.elided(), 73);
    let json = format!(r#"[{}]"#, (1..=3000).map(|at| format!(r#"["c{at}",1]"#)).collect::<Vec<_>>().join(","));
    let read = VectorClock::parse_json(json.as_bytes()).expect("JSON");
    assert_eq!((read.len(), read.elided(), read.get("c3000")), (ENTRIES_MAX, 2872, Some(1)));
}

#[test]
fn values_have_an_end() {
    let entries = [("a", 0), ("b", 1), ("c", VALUE_MAX), ("d", VALUE_MAX + 1), ("e", u64::MAX)];
    let clock: VectorClock = entries.into_iter().map(|(name, value)| (component(name), value)).collect();
    assert_eq!(clock, self::clock(&format!("b 1, c {VALUE_MAX}")));
}

#[test]
fn a_clock_as_an_attribute() {
    let rows = [
        ("", "[]"),
        ("a#x~1 3", r#"[["a#x~1",3]]"#),
        ("a#x~1 3, b\"\u{e9} 10", "[[\"a#x~1\",3],[\"b\\\"\u{e9}\",10]]"),
    ];
    for (entries, json) in rows {
        let mut out = Vec::new();
        clock(entries).write_json(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), json);
        assert_eq!(VectorClock::parse_json(json.as_bytes()), Some(clock(entries)));
    }
    for (json, len, elided) in [("[3]", 0, 3), (r#"[["a",1],3]"#, 1, 3), ("[null]", 0, 0), ("{}", 0, 0), ("null", 0, 0)]
    {
        let read = VectorClock::parse_json(json.as_bytes()).expect(json);
        assert_eq!((read.len(), read.elided()), (len, elided), "{json}");
        let mut again = Vec::new();
        read.write_json(&mut again);
        assert_eq!(VectorClock::parse_json(&again), Some(read), "{json}");
    }
    for json in ["", "[", "[[]", "[] []", "\u{1}"] {
        assert_eq!(VectorClock::parse_json(json.as_bytes()), None, "{json}");
    }
}

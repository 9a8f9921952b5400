use super::*;

#[test]
fn what_is_accepted() {
    for (url, protocol, host, port, shown) in [
        ("http://127.0.0.1:4317", Protocol::Grpc, "127.0.0.1", 4317, "http://127.0.0.1:4317"),
        ("HTTP://Analyzer", Protocol::Grpc, "Analyzer", 4317, "http://Analyzer:4317"),
        (" http://a.b.svc:1/ ", Protocol::Grpc, "a.b.svc", 1, "http://a.b.svc:1"),
        ("http://[::1]", Protocol::HttpProtobuf, "::1", 4318, "http://[::1]:4318"),
        ("https://h", Protocol::Grpc, "h", 4317, "https://h:4317"),
        ("https://h:443/otlp", Protocol::HttpProtobuf, "h", 443, "https://h:443/otlp"),
        ("http://h/otlp/", Protocol::HttpProtobuf, "h", 4318, "http://h:4318/otlp"),
    ] {
        let endpoint = Endpoint::parse(url, protocol).expect(url);
        assert_eq!((endpoint.host(), endpoint.port()), (host, port), "{url}");
        assert_eq!(endpoint.to_string(), shown);
    }
}

#[test]
fn one_flaw_each() {
    use InvalidEndpoint::*;
    let text = String::from;
    for (url, expected) in [
        ("", Empty),
        ("  ", Empty),
        ("analyzer:4317", NoScheme(text("analyzer:4317"))),
        ("analyzer", NoScheme(text("analyzer"))),
        ("ftp://h:1", UnknownScheme(text("ftp://h:1"), text("ftp"))),
        ("://h:1", UnknownScheme(text("://h:1"), text(""))),
        ("http://", NoHost(text("http://"))),
        ("http://:4317", NoHost(text("http://:4317"))),
        ("http:///x", NoHost(text("http:///x"))),
        ("http://h:0", BadPort(text("http://h:0"))),
        ("http://h:", BadPort(text("http://h:"))),
        ("http://h:65536", BadPort(text("http://h:65536"))),
        ("http://me:secret@h:1", Credentials(text("http://…@h:1"))),
        ("http://h:1?x=1", Query(text("http://h:1?x=1"))),
        ("http://h:1/#x", Query(text("http://h:1/#x"))),
        ("http://h:1/otlp", Path(text("http://h:1/otlp"))),
    ] {
        assert_eq!(Endpoint::parse(url, Protocol::Grpc), Err(expected), "{url}");
    }
    for url in ["http://a b", "http://[::1", "http://h:x", "http://h\u{7f}"] {
        assert!(Endpoint::parse(url, Protocol::Grpc).is_err(), "{url}");
    }
}

#[test]
fn the_variables_of_opentelemetry() {
    let read = |pairs: &'static [(&str, &str)]| {
        Endpoint::from_otel(|name| {
            let name = name.strip_prefix("OTEL_EXPORTER_OTLP_")?;
            pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    };
    assert_eq!(read(&[]), Ok(None));
    assert_eq!(read(&[("ENDPOINT", "")]), Ok(None));
    let full = read(&[
        ("ENDPOINT", "http://h"),
        ("PROTOCOL", "http/protobuf"),
        ("COMPRESSION", "gzip"),
        ("TIMEOUT", "250"),
        ("HEADERS", "authorization=Bearer%20k, x-tenant=t"),
    ]);
    let full = full.expect("all of it is valid").expect("an endpoint is named");
    assert_eq!(full.to_string(), "http://h:4318");
    assert_eq!(full.compression(), Compression::Gzip);
    assert_eq!(full.timeout(), Duration::from_millis(250));
    let values: Vec<_> = full.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(values, [("authorization", &b"Bearer k"[..]), ("x-tenant", b"t")]);
    for (url, protocol) in [("http://h", Protocol::Grpc), ("http://h:4318/x", Protocol::HttpProtobuf)] {
        let endpoint = Endpoint::from_otel(|name| name.ends_with("_ENDPOINT").then(|| url.to_owned()));
        assert_eq!(endpoint.expect(url).map(|endpoint| endpoint.protocol()), Some(protocol), "{url}");
    }
    for flaw in [("PROTOCOL", "http/json"), ("COMPRESSION", "br"), ("TIMEOUT", "0"), ("HEADERS", "k%zz=%4")] {
        let pairs: &'static [(&str, &str)] = Box::leak(Box::new([("ENDPOINT", "http://h"), flaw]));
        assert!(read(pairs).is_err(), "{flaw:?}");
    }
}

#[test]
fn certificates_are_for_https() {
    let plain = Endpoint::parse("http://h", Protocol::Grpc).expect("a URL");
    let secure = Endpoint::parse("https://h", Protocol::Grpc).expect("a URL");
    let missing = ClientFiles { ca: Some("/nowhere/ca.pem".into()), ..ClientFiles::default() };
    assert_eq!(plain.with_tls(missing.clone()), Err(InvalidEndpoint::NoTls("http://h:4317".to_owned())));
    let error = secure.with_tls(missing).expect_err("there is no such file").to_string();
    assert!(error.contains("/nowhere/ca.pem"), "{error}");
    let read = |url: &'static str| {
        Endpoint::from_otel(move |name| match name.strip_prefix("OTEL_EXPORTER_OTLP_")? {
            "ENDPOINT" => Some(url.to_owned()),
            "CERTIFICATE" => Some("/nowhere/ca.pem".to_owned()),
            _ => None,
        })
    };
    assert!(matches!(read("https://h"), Err(InvalidEndpoint::Certificates(_))));
    // OpenTelemetry: the variable is for secure connections, and others do without.
    assert!(read("http://h").is_ok());
}

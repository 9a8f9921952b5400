use clap::Parser;

use raceway_analyzer_client::Compression;

use super::*;

/// What `raceway-proxy` with these flags and this environment would run with.
fn check(flags: &str, environment: &[(&str, &str)]) -> Result<Config, Vec<ConfigError>> {
    let args = Args::try_parse_from(std::iter::once("raceway-proxy").chain(flags.split_whitespace()))
        .unwrap_or_else(|error| panic!("{flags}: {error}"));
    let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    Config::check(args, &find)
}

const VALID: &str = "--service orders --inbound 127.0.0.1:8080=127.0.0.1:9090";

fn valid(more: &str) -> Config {
    check(&format!("{VALID} {more}"), &[]).unwrap_or_else(|errors| panic!("{more}: {errors:?}"))
}

fn messages(flags: &str, environment: &[(&str, &str)]) -> Vec<String> {
    let errors = check(flags, environment).err().unwrap_or_default();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults() {
    let config = valid("");
    assert_eq!(&*config.identity.service, "orders");
    assert!(config.identity.instance.starts_with(&*config.identity.host), "{:?}", config.identity);
    assert_eq!(config.analyzer.to_string(), "http://127.0.0.1:4317");
    assert_eq!(config.admin, Some(([127, 0, 0, 1], 15020).into()));
    assert_eq!(config.link_policy, LinkPolicy::Likely);
    assert_eq!(
        config.propagators,
        Propagators { tracecontext: true, baggage: true, raceway: true, ..Propagators::default() }
    );
    assert!((config.sample - 1.0).abs() < f64::EPSILON);
    assert!(config.ignore.matches("/livez") && !config.expose_trace_id);
    assert_eq!((config.head_bytes_max, config.head_fields_max), (65_536, 200));
    assert_eq!((config.grace, config.queue_bytes), (Duration::from_secs(25), 16 << 20));
    assert_eq!(config.log_level, LevelFilter::INFO);
    assert!(config.warnings.is_empty());
}

#[test]
fn no_two_starts_share_an_instance() {
    let instances: std::collections::HashSet<_> =
        (0..20).map(|_| valid("--instance orders-0").identity.instance).collect();
    assert_eq!(instances.len(), 20);
    for instance in instances {
        let digits = instance.strip_prefix("orders-0-").expect("the name comes first");
        assert!(digits.len() == 8 && digits.bytes().all(|it| it.is_ascii_hexdigit()), "{instance}");
    }
}

#[test]
fn every_mistake_is_reported_and_says_what_to_do() {
    let rows = [
        (
            "--inbound 127.0.0.1:0=app:80",
            "no service name: give --service NAME (or RACEWAY_SERVICE, or OTEL_SERVICE_NAME)",
        ),
        ("--service orders", "nothing to carry: give --inbound LISTEN=TARGET"),
        ("--service a#b --outbound 127.0.0.1:0", "--service \"a#b\": a name is 1 to 128 bytes without '#'"),
        ("--service a --inbound 8080", "--inbound \"8080\": write LISTEN=TARGET"),
        ("--service a --inbound :8080=app:80", "--inbound \":8080=app:80\": listen on IP:PORT"),
        ("--service a --inbound 0.0.0.0:8080=app", "--inbound \"0.0.0.0:8080=app\": a port is missing"),
        ("--service a --inbound 0.0.0.0:8080=app:0", "--inbound \"0.0.0.0:8080=app:0\": port 0 is for listening"),
        ("--service a --outbound localhost:80", "--outbound \"localhost:80\": listen on IP:PORT"),
        ("--service a --route 127.0.0.1:0=tcp://b:443", "only http:// and https:// can stand before HOST:PORT"),
        ("--service a --inbound 127.0.0.1:0=https://b:443", "only http:// and h2:// (HTTP/2 without TLS) can stand"),
        ("+ --inbound-tls perhaps", "--inbound-tls \"perhaps\": must be required or optional"),
        (
            "+ --inbound-tls required",
            "--inbound-tls goes with a certificate, and there is none: give --inbound-tls-cert",
        ),
        ("+ --inbound-tls-port 8443", "--inbound-tls-port goes with a certificate, and there is none"),
        ("+ --inbound-tls-port https://8443", "--inbound-tls-port \"https://8443\": only http:// and h2://"),
        ("+ --inbound-tls-client-ca /nowhere", "--inbound-tls-client-ca goes with a certificate, and there is none"),
        ("+ --inbound-tls-cert /nowhere/cert", "--inbound-tls-cert: cannot read /nowhere/cert: No such file"),
        ("+ --analyzer-ca /nowhere/ca", "--analyzer-ca: `http://127.0.0.1:4317` is reached without TLS"),
        ("+ --analyzer https://a --analyzer-ca /nowhere/ca", "--analyzer-ca: cannot read /nowhere/ca: No such file"),
        ("+ --analyzer https://a --analyzer-tls-key /k", "--analyzer-tls-key goes with a certificate"),
        ("+ --upstream-tls payment --insecure-skip-verify", "--upstream-tls \"payment\": a port is missing"),
        ("+ --upstream-tls-key /nowhere/key", "--upstream-tls-key goes with a certificate, and there is none"),
        ("+ --upstream-ca /nowhere/ca", "--upstream-ca: cannot read /nowhere/ca: No such file"),
        ("+ --mode mesh", "--mode \"mesh\": must be explicit or transparent"),
        ("+ --opaque-port 0", "--opaque-port \"0\": must be a port from 1 to 65535, or a range such as 8000-8100"),
        ("--service a --mode transparent --inbound off --outbound off", "nothing to carry"),
        ("--service a --mode transparent --inbound 0.0.0.0:1 --inbound 0.0.0.0:2", "--inbound \"0.0.0.0:2\": all"),
        ("--service a --mode transparent --outbound 127.0.0.1:15006", "both listen on 127.0.0.1:15006"),
        ("--service a --mode transparent --outbound-allow 10.0.0.0/8", "--outbound-allow names clients"),
        ("+ --link-policy sure", "--link-policy \"sure\": must be certain, likely or all"),
        ("+ --analyzer 127.0.0.1:4317", "--analyzer: `127.0.0.1:4317` has no scheme; write http://127.0.0.1:4317"),
        ("+ --analyzer http://u:secret@a", "--analyzer: `http://…@a` holds a user name"),
        ("+ --admin 15020", "--admin \"15020\": listen on IP:PORT"),
        (
            "+ --admin 127.0.0.1:8080",
            "--inbound and --admin both listen on 127.0.0.1:8080: give one of them another port",
        ),
        ("+ --outbound 0.0.0.0:8080", "--inbound and --outbound both listen on 0.0.0.0:8080"),
        (
            "+ --inbound 0.0.0.0:9091=127.0.0.1:8080",
            "--inbound leads to 127.0.0.1:8080, where this sidecar itself listens",
        ),
        (
            "+ --route 0.0.0.0:9091=127.0.0.1:9091",
            "--route leads to 127.0.0.1:9091, where this sidecar itself listens (--route)",
        ),
        ("+ --outbound-allow 10.0.0.0/8", "--outbound-allow names clients of the forward proxy, but there is none"),
        (
            "+ --outbound 127.0.0.1:0 --outbound-allow ten",
            "--outbound-allow \"ten\": must be a network such as 10.0.0.0/8",
        ),
        ("+ --control sock", "--control \"sock\": must be a path with a slash"),
        ("+ --control 0.0.0.0:1", "--control \"0.0.0.0:1\": must be on loopback"),
        ("+ --control 127.0.0.1:1", "--control \"127.0.0.1:1\": is open to everybody on this host"),
        ("+ --probe-port http", "--probe-port \"http\": the port must be a number from 1 to 65535"),
        ("+ --trust-context mine", "--trust-context \"mine\": must be always, never, or networks"),
        ("+ --send-proxy-protocol 2", "--send-proxy-protocol \"2\": must be v1 or v2"),
        ("+ --keep-errors=some", "--keep-errors \"some\": must be true or false"),
        ("+ --forwarded-for=some", "--forwarded-for \"some\": must be true or false"),
        ("+ --sample 2", "--sample \"2\": must be a ratio from 0 (none) to 1 (all)"),
        ("+ --propagators xray", "--propagators \"xray\": must be among tracecontext, baggage, raceway"),
        ("+ --propagate-to http://a", "--propagate-to \"http://a\": must be a host name, a glob"),
        ("+ --route-pattern orders", "--route-pattern \"orders\": a path pattern starts with '/'"),
        (
            "+ --ignore /a/**/b",
            "--ignore \"/a/**/b\": '**' stands for everything below and may only be the last segment",
        ),
        ("+ --redact /reset/*", "--redact \"/reset/*\": put what is to be hidden in braces, as in /reset/{code}"),
        ("+ --expose-trace-id=maybe", "--expose-trace-id \"maybe\": must be true or false"),
        ("+ --grace soon", "--grace \"soon\": must be a number of seconds, as in 5 or 0.5"),
        ("+ --connect-timeout 0", "--connect-timeout \"0\": must be more than 0 seconds"),
        ("+ --header-timeout=-1", "--header-timeout \"-1\": must be a number of seconds"),
        ("+ --idle-timeout 1h", "--idle-timeout \"1h\": must be a number of seconds"),
        ("+ --head-bytes-max 4KiB", "--head-bytes-max \"4KiB\": must be between 8KiB"),
        ("+ --head-bytes-max 17MiB", "--head-bytes-max \"17MiB\": must be between 8KiB"),
        ("+ --head-fields-max 0", "--head-fields-max \"0\": must be a whole number above 0"),
        ("+ --connections-max many", "--connections-max \"many\": must be a whole number above 0"),
        ("+ --queue-bytes 16MB", "--queue-bytes \"16MB\": must be a number of bytes"),
        ("+ --spill-max 4KiB", "--spill-max \"4KiB\": must be at least 1MiB"),
        ("+ --compression lz4", "--compression: `lz4` is not a compression that is known here"),
        ("+ --log-level loud", "--log-level \"loud\": must be error, warn, info, debug, trace or off"),
        ("+ --log-format xml", "--log-format \"xml\": must be text or json"),
    ];
    for (flags, message) in rows {
        let flags = flags.replacen('+', VALID, 1);
        let messages = messages(&flags, &[]);
        assert!(matches!(&*messages, [only] if only.contains(message)), "{flags}:\n  {messages:#?}\n  {message}");
        assert!(messages.iter().all(|it| !it.contains('\n') && !it.contains("secret")), "{messages:?}");
    }
    let all = "--inbound 1 --route 2 --sample 3 --grace x --admin y --analyzer z";
    assert_eq!(messages(all, &[]).len(), 7, "{:#?}", messages(all, &[]));
}

#[test]
fn lists_are_repeated_or_separated_by_commas() {
    let config = valid("--route 127.0.0.1:0=b:80,127.0.0.1:0=c:80 --route 127.0.0.1:0=d@e:80 --admin off --ignore ,");
    let names: Vec<_> = config.routes.iter().map(|route| route.target.to_string()).collect();
    assert_eq!(names, ["b:80", "c:80", "e:80"]);
    assert_eq!(config.routes.last().and_then(|route| route.name.as_deref()), Some("d"));
    assert_eq!(config.admin, None);
}

#[test]
fn a_switch_is_on_by_being_there() {
    assert!(valid("--expose-trace-id").expose_trace_id);
    assert!(!valid("--expose-trace-id=false").expose_trace_id);
}

#[test]
fn opentelemetry_stands_in_for_flags_that_nobody_gave() {
    let environment = [
        ("OTEL_SERVICE_NAME", "orders"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=not-this,service.namespace=shop,deployment.environment=old,deployment.environment.name=prod,\
             service.version=1.2,service.instance.id=pod-7,team=blue",
        ),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_PROPAGATORS", "b3,xray"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4317"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ];
    let config = check("--outbound 127.0.0.1:0", &environment).expect("valid");
    let identity = &config.identity;
    assert_eq!(&*identity.service, "orders");
    assert_eq!(identity.namespace.as_deref(), Some("shop"));
    assert_eq!(identity.environment.as_deref(), Some("prod"));
    assert_eq!(identity.version.as_deref(), Some("1.2"));
    assert!(identity.instance.starts_with("pod-7-"));
    assert_eq!(identity.attributes, [("team".to_owned(), "blue".to_owned())]);
    assert!((config.sample - 0.25).abs() < f64::EPSILON);
    assert_eq!(config.propagators, Propagators { b3: true, raceway: true, ..Propagators::default() });
    assert_eq!(config.analyzer.to_string(), "http://collector:4317");
    assert_eq!(config.analyzer.compression(), Compression::Gzip);
    assert_eq!(config.warnings, ["OTEL_PROPAGATORS: xray is not known here and is left out"]);

    let flags = "--service a --outbound 127.0.0.1:0 --namespace n --environment e --service-version v --instance i \
                 --sample 1 --propagators tracecontext --analyzer http://b --compression none";
    let config = check(flags, &environment).expect("valid");
    assert_eq!(&*config.identity.service, "a");
    assert_eq!(config.identity.namespace.as_deref(), Some("n"));
    assert_eq!(config.identity.attributes, [("team".to_owned(), "blue".to_owned())]);
    assert!((config.sample - 1.0).abs() < f64::EPSILON);
    assert_eq!(config.propagators, Propagators { tracecontext: true, ..Propagators::default() });
    assert_eq!(config.analyzer.to_string(), "http://b:4317");
    assert_eq!(config.analyzer.compression(), Compression::None);

    let service = check("--outbound 127.0.0.1:0", &[("OTEL_RESOURCE_ATTRIBUTES", "service.name=orders")]);
    assert_eq!(&*service.expect("valid").identity.service, "orders");
}

#[test]
fn what_opentelemetry_has_wrong_is_an_error_only_where_it_matters() {
    let warned = check(VALID, &[("OTEL_RESOURCE_ATTRIBUTES", "oops"), ("OTEL_TRACES_SAMPLER", "xray")]).expect("valid");
    assert_eq!(warned.warnings.len(), 2, "{:?}", warned.warnings);
    for (name, value, message) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector", "OTEL_EXPORTER_OTLP_*: `collector` has no scheme"),
        ("OTEL_RESOURCE_ATTRIBUTES", "service.namespace=a%23b", "OTEL_RESOURCE_ATTRIBUTES \"a#b\": a name is"),
    ] {
        let messages = messages(VALID, &[(name, value)]);
        assert!(matches!(&*messages, [only] if only.starts_with(message)), "{messages:?}");
    }
}

#[test]
fn an_empty_value_is_none() {
    let empty = [("OTEL_SERVICE_NAME", ""), ("OTEL_PROPAGATORS", " "), ("OTEL_TRACES_SAMPLER", "")];
    let args = ["raceway-proxy", "--service", "a", "--inbound", "", "--outbound", "127.0.0.1:0", "--analyzer", ""];
    let args = Args::try_parse_from(args).expect("clap takes empty values");
    let find = |name: &str| empty.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
    let config = Config::check(args, &find).expect("valid");
    assert!(config.inbound.is_empty() && config.propagators.tracecontext);
}

#[test]
fn the_resource_names_the_identity() {
    let config = valid("--namespace shop --environment prod --service-version 3 --instance i");
    let resource = config.identity.resource();
    assert_eq!(resource.service_name(), Some("orders"));
    assert_eq!(resource.service_namespace(), Some("shop"));
    assert_eq!(resource.environment(), Some("prod"));
    assert_eq!(resource.service_version(), Some("3"));
    assert_eq!(resource.service_instance(), Some(&*config.identity.instance));
    assert!(resource.attribute("host.name").is_some() && resource.attribute("telemetry.sdk.name").is_some());
}

#[test]
fn the_whole_configuration_can_be_shown() {
    let config =
        valid("--route 127.0.0.1:0=pay@b:80 --redact /reset/{code} --propagate-to *.shop.example,203.0.113.0/24");
    let shown = serde_json::to_value(&config).expect("serializes");
    let at = |pointer: &str| shown.pointer(pointer).and_then(|value| value.as_str()).map(ToOwned::to_owned);
    assert_eq!(at("/identity/service").as_deref(), Some("orders"));
    assert_eq!(at("/routes/0/target").as_deref(), Some("b:80"));
    assert_eq!(at("/analyzer/url").as_deref(), Some("http://127.0.0.1:4317"));
    assert_eq!(at("/log_level").as_deref(), Some("info"));
    assert_eq!(at("/propagate_to/2").as_deref(), Some("*.shop.example"));
}

#[test]
fn secrets_are_not_shown() {
    let headers = ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20k3y,x-tenant=t0p");
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317"), headers];
    let config = check(VALID, &variables).unwrap_or_else(|errors| panic!("{errors:?}"));
    assert!(format!("{config:?}").contains("x-tenant"), "they are read: {config:?}");
    for shown in [serde_json::to_string(&config).expect("serializes"), format!("{config:?}")] {
        assert!(!shown.contains("k3y") && !shown.contains("t0p"), "{shown}");
    }
}

#[test]
fn every_flag_has_its_variable_and_its_help() {
    use clap::CommandFactory;
    let command = Args::command();
    command.clone().debug_assert();
    for argument in command.get_arguments().filter(|it| !matches!(it.get_id().as_str(), "help" | "version")) {
        let flag = argument.get_long().expect("every setting has a long flag");
        let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
        assert_eq!(variable, format!("RACEWAY_{}", flag.replace('-', "_").to_uppercase()));
        assert!(argument.get_help().is_some(), "--{flag} has no help");
        assert!(argument.get_help_heading().is_some(), "--{flag} stands under no heading");
    }
}

#[test]
fn transparent_mode_has_a_listener_for_each_direction() {
    let redirected = |flags: &str| {
        let config = check(&format!("--service a --mode transparent {flags}"), &[]);
        let config = config.unwrap_or_else(|errors| panic!("{flags}: {errors:?}"));
        assert_eq!(config.outbound, None, "there is no forward proxy");
        let it = config.redirected.unwrap_or_else(|| panic!("{flags}: nothing is redirected"));
        let text = |address: Option<SocketAddr>| address.map_or("off".to_owned(), |address| address.to_string());
        (format!("{} {}", text(it.inbound), text(it.outbound)), config.inbound.len())
    };
    assert_eq!(redirected(""), ("0.0.0.0:15006 127.0.0.1:15001".to_owned(), 0));
    assert_eq!(redirected("--inbound 10.0.0.1:6 --outbound off"), ("10.0.0.1:6 off".to_owned(), 0));
    // Beside it, explicit listeners stay what they are.
    assert_eq!(redirected("--inbound 0.0.0.0:80=app:90 --inbound off"), ("off 127.0.0.1:15001".to_owned(), 1));
    let config = valid("--opaque-port 5432,9000-9100");
    assert!(config.redirected.is_none());
    for (port, opaque) in [(5432, true), (8999, false), (9000, true), (9100, true), (9101, false)] {
        assert_eq!(config.is_opaque(port), opaque, "{port}");
    }
}

use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: InterceptArgs,
}

fn check(flags: &str) -> Result<Settings, Vec<String>> {
    let line = Line::try_parse_from(["intercept", "install"].into_iter().chain(flags.split_whitespace()));
    let Action::Install(args) = line.unwrap_or_else(|error| panic!("{flags}: {error}")).args.action else {
        panic!("{flags}: not install")
    };
    args.check().map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

fn rules(flags: &str) -> Rules {
    check(flags).unwrap_or_else(|errors| panic!("{flags}: {errors:?}")).rules()
}

/// One of everything, in an order that is not the rules'.
const FULL: &str = "--skip-outbound-cidr fd00::/8,192.0.2.0/24 --skip-outbound-port 25 --uid 1500,0 \
                    --skip-inbound-port none,8000-8100 --outbound-port 1 --inbound-port 6";

#[test]
fn nft_rules_are_in_order_and_each_says_what_it_is_for() {
    let expected = r#"add table inet raceway
delete table inet raceway
table inet raceway {
	chain outbound {
		type nat hook output priority -101; policy accept;
		meta skuid 1500 return comment "raceway 1/10: made by the sidecar itself"
		meta skuid 0 return comment "raceway 2/10: made by the sidecar itself"
		oifname "lo" return comment "raceway 3/10: loopback"
		ip6 daddr fe80::/10 return comment "raceway 4/10: skipped network"
		tcp dport 25 return comment "raceway 5/10: skipped port"
		ip6 daddr fd00::/8 return comment "raceway 6/10: skipped network"
		ip daddr 192.0.2.0/24 return comment "raceway 7/10: skipped network"
		meta l4proto tcp redirect to :1 comment "raceway 8/10: to the sidecar"
	}
	chain inbound {
		type nat hook prerouting priority -101; policy accept;
		tcp dport 8000-8100 return comment "raceway 9/10: skipped port"
		fib daddr type local meta l4proto tcp redirect to :6 comment "raceway 10/10: to the sidecar"
	}
}
"#;
    assert_eq!(nft::install_script(&rules(FULL)), expected);
    let without = nft::install_script(&rules("--ipv6 off --inbound-port off"));
    assert!(without.contains("meta nfproto ipv4 meta l4proto tcp redirect to :15001"), "{without}");
    assert!(!without.contains("prerouting"), "{without}");
}

#[test]
fn iptables_rules_are_in_order_and_each_family_has_its_networks() {
    let script = iptables::install_script(&rules(FULL), iptables::Family::V6, &iptables::Found::default());
    let expected = r#"*nat
:RACEWAY_OUTBOUND - [0:0]
:RACEWAY_INBOUND - [0:0]
-A RACEWAY_OUTBOUND -m owner --uid-owner 1500 -m comment --comment "raceway 1/11: made by the sidecar itself" -j RETURN
-A RACEWAY_OUTBOUND -m owner --uid-owner 0 -m comment --comment "raceway 2/11: made by the sidecar itself" -j RETURN
-A RACEWAY_OUTBOUND -o lo -m comment --comment "raceway 3/11: loopback" -j RETURN
-A RACEWAY_OUTBOUND -d fe80::/10 -m comment --comment "raceway 4/11: skipped network" -j RETURN
-A RACEWAY_OUTBOUND -p tcp -m tcp --dport 25 -m comment --comment "raceway 5/11: skipped port" -j RETURN
-A RACEWAY_OUTBOUND -d fd00::/8 -m comment --comment "raceway 6/11: skipped network" -j RETURN
-A RACEWAY_OUTBOUND -p tcp -m comment --comment "raceway 7/11: to the sidecar" -j REDIRECT --to-ports 1
-I OUTPUT 1 -p tcp -m comment --comment "raceway 8/11: all TCP connections" -j RACEWAY_OUTBOUND
-A RACEWAY_INBOUND -p tcp -m tcp --dport 8000:8100 -m comment --comment "raceway 9/11: skipped port" -j RETURN
-A RACEWAY_INBOUND -p tcp -m addrtype --dst-type LOCAL -m comment --comment "raceway 10/11: to the sidecar" -j REDIRECT --to-ports 6
-I PREROUTING 1 -p tcp -m comment --comment "raceway 11/11: all TCP connections" -j RACEWAY_INBOUND
COMMIT
"#;
    assert_eq!(script, expected);
}

#[test]
fn an_iptables_script_replaces_what_it_finds() {
    let saved = "*nat\n:OUTPUT ACCEPT [0:0]\n:RACEWAY_OUTBOUND - [0:0]\n:RACEWAY_INBOUND - [0:0]\n\
        -A OUTPUT -p tcp -j RACEWAY_OUTBOUND\n-A OUTPUT -p tcp -j DOCKER\n\
        -A RACEWAY_OUTBOUND -m comment --comment \"raceway 1/2: loopback\" -j RETURN\nCOMMIT\n";
    let found = iptables::read(saved);
    let script = iptables::install_script(&rules("--inbound-port off"), iptables::Family::V4, &found);
    let lines: Vec<&str> = script.lines().collect();
    assert_eq!(
        lines.get(..4),
        Some(
            &["*nat", ":RACEWAY_OUTBOUND - [0:0]", ":RACEWAY_INBOUND - [0:0]", "-D OUTPUT -p tcp -j RACEWAY_OUTBOUND"]
                [..]
        )
    );
    assert!(lines.ends_with(&["-X RACEWAY_INBOUND", "COMMIT"]), "what is not wanted any more goes: {script}");
    assert!(!script.contains("DOCKER"), "what is not ours stays: {script}");
}

#[test]
fn what_is_missing_is_told_by_what_is_there() {
    let script = nft::install_script(&rules(FULL));
    let whole = nft::read(&script).expect("a table");
    assert_eq!((whole.rules.len(), whole.missing.as_slice()), (10, &[][..]));
    let without: String =
        script.lines().filter(|line| !line.contains("4/10")).map(|line| format!("{line}\n")).collect();
    let partly = nft::read(&without).expect("a table");
    assert_eq!(partly.missing, [4]);
    assert_eq!(partly.told(), "nft inet: 9 rules, 1 missing");
    assert!(self::whole(&[partly]).is_err());
    let empty = nft::read("table inet raceway {\n}\n").expect("a table");
    assert_eq!(empty.missing, [1], "an empty table is no interception");
}

#[test]
fn every_mistake_says_what_to_write() {
    let flags = "--inbound-port 70000 --outbound-port x --uid root --skip-inbound-port 9-8 --skip-outbound-port 0 \
                 --skip-outbound-cidr 10.0.0.0/33 --ipv6 maybe --backend pf";
    let errors = check(flags).expect_err("all of it is wrong");
    for named in [
        "--inbound-port \"70000\"",
        "--outbound-port \"x\"",
        "--uid \"root\"",
        "--skip-inbound-port \"9-8\"",
        "--skip-outbound-port \"0\"",
        "--skip-outbound-cidr \"10.0.0.0/33\"",
        "--ipv6 \"maybe\": must be auto, on or off",
        "--backend \"pf\": must be auto, nft or iptables",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(named)), "{named}: {errors:?}");
    }
    assert_eq!(errors.len(), 8, "{errors:?}");
    for (flags, named) in [
        ("--inbound-port 15001", "both directions cannot go to one port"),
        ("--inbound-port off --outbound-port off", "nothing would be redirected"),
    ] {
        let errors = check(flags).expect_err(flags);
        assert!(errors.iter().any(|error| error.contains(named)), "{flags}: {errors:?}");
    }
}

#[test]
fn an_empty_value_is_the_default() {
    let empty = "--inbound-port= --outbound-port= --uid= --skip-inbound-port= --skip-outbound-cidr= --ipv6= --backend=";
    assert_eq!(check(empty), check(""));
}

//! `raceway-proxy intercept`: the rules, in namespaces of the test's own, by the real nft and iptables.

use std::process::Command;

use raceway_tests::netns::World;
use raceway_tests::skip;

/// Whether the tools are here that a test needs.
pub(crate) fn has(programs: &[&str]) -> bool {
    for program in programs {
        if !Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
            skip(&format!("{program} is not installed"));
            return false;
        }
    }
    true
}

/// Everything that is in the kernel, without the counters and the tools' remarks.
fn ruleset(world: &World) -> Vec<String> {
    let listed = world.inside.run("nft list ruleset");
    listed.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

fn rules(world: &World) -> Vec<String> {
    ruleset(world).into_iter().filter(|line| line.contains("raceway ")).collect()
}

#[test]
fn installed_twice_is_installed_once_and_removed_is_gone() {
    if !has(&["nft", "iptables", "ip6tables"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    let bare = ruleset(&world);
    assert_eq!(world.inside.intercept("show"), (Some(0), "nothing is installed\n".to_owned()));
    for (backend, state) in [("nft", "nft inet: 7 rules"), ("iptables", "iptables ip: 8 rules; iptables ip6: 9 rules")]
    {
        let (code, said) = world.inside.intercept(&format!("install --backend {backend}"));
        assert_eq!(code, Some(0), "{said}");
        assert!(said.starts_with(&format!("installed: {state}; ")), "the other backend's rules are gone: {said}");
        let once = rules(&world);
        let (code, said) = world.inside.intercept(&format!("install --backend {backend}"));
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(rules(&world), once, "{backend}");
        let (code, shown) = world.inside.intercept("show --json");
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(
            (code, shown["state"].as_str(), shown["tables"][0]["backend"].as_str()),
            (Some(0), Some("installed"), Some(backend))
        );
    }
    assert_eq!(world.inside.intercept("remove").0, Some(0));
    assert_eq!(rules(&world), Vec::<String>::new());
    assert_eq!(world.inside.intercept("remove"), (Some(0), "nothing was installed\n".to_owned()));
    // What iptables itself makes on its first use stays, empty: chains that lead nowhere.
    let left: Vec<String> =
        ruleset(&world).into_iter().filter(|line| line.contains("RACEWAY") || line.contains("inet raceway")).collect();
    assert_eq!((bare, left), (Vec::new(), Vec::new()));
}

#[test]
fn what_a_dry_run_prints_is_what_install_does() {
    if !has(&["nft", "iptables", "ip6tables"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    let flags = "--uid 7,8 --skip-inbound-port none,9100 --skip-outbound-port 25,8000-8100 \
                 --skip-outbound-cidr 192.0.2.0/24,2001:db8::/32 --inbound-port 1 --outbound-port 2";
    for backend in ["nft", "iptables"] {
        let install = format!("install --backend {backend} {flags}");
        let (code, script) = world.inside.intercept(&format!("{install} --dry-run"));
        assert_eq!(code, Some(0), "{script}");
        assert_eq!(rules(&world), Vec::<String>::new(), "a dry run does nothing");
        world.inside.run(&script);
        let by_hand = rules(&world);
        assert_eq!(world.inside.intercept("remove").0, Some(0));
        assert_eq!(world.inside.intercept(&install).0, Some(0));
        assert_eq!(rules(&world), by_hand, "{backend}");
        assert_eq!(world.inside.intercept("remove").0, Some(0));
    }
}

#[test]
fn rules_that_somebody_took_away_are_missed() {
    if !has(&["nft", "iptables"]) {
        return;
    }
    let Some(world) = World::new() else { return };
    for (backend, damage) in [
        ("nft", "nft flush chain inet raceway inbound"),
        ("iptables", "iptables -t nat -D RACEWAY_OUTBOUND 1"),
        ("iptables", "ip6tables -t nat -F PREROUTING"),
    ] {
        let install = format!("install --backend {backend}");
        assert_eq!(world.inside.intercept(&install).0, Some(0));
        world.inside.run(damage);
        let (code, said) = world.inside.intercept("show");
        assert_eq!(code, Some(1), "{damage}: {said}");
        assert!(said.contains("only partly installed") && said.contains("install` again"), "{damage}: {said}");
        assert!(world.inside.intercept("show --json").1.contains("\"state\":\"partly\""), "{damage}");
        assert_eq!(world.inside.intercept(&install).0, Some(0), "{damage}: install mends it");
        assert_eq!(world.inside.intercept("show").0, Some(0), "{damage}");
    }
    assert_eq!(world.inside.intercept("remove").0, Some(0));
}

#[test]
fn what_stands_in_the_way_is_told() {
    let Some(world) = World::new() else { return };
    let program = raceway_tests::program().display().to_string();
    for (env, before, args, named) in [
        ("", "setpriv --bounding-set -net_admin --inh-caps -net_admin", "install", "NET_ADMIN is missing"),
        ("", "", "install --backend pf", "must be auto, nft or iptables"),
        ("", "", "install --uid root", "id -u NAME"),
    ] {
        let command = format!("{env} {before} {program} __proxy intercept {args} 2>&1; true");
        let said = world.inside.run(&command);
        assert_eq!(said.lines().count(), 1, "{args}: {said}");
        assert!(said.contains(named), "{args}: {said}");
    }
    // Neither tool where the tools lie: a root file system with nothing but the program.
    let hidden = "mount -t tmpfs none /usr/sbin && mount -t tmpfs none /sbin";
    let command = format!(
        "unshare --mount sh -c '{hidden} && PATH=/bin:/usr/bin {program} __proxy intercept install' 2>&1; true"
    );
    let said = world.inside.run(&command);
    assert!(said.contains("neither nft nor iptables is here"), "{said}");
    assert_eq!(rules(&world), Vec::<String>::new());
}

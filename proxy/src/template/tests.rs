use proptest::prelude::*;

use super::trie::{DEPTH_MAX, NODES_MAX, SIBLINGS_MAX};
use super::*;

fn learned(paths: impl IntoIterator<Item = String>) -> Templates {
    let mut routes = Templates::new(Vec::new());
    for path in paths {
        routes.template(&path);
    }
    routes
}

#[test]
fn plain_ids_are_values_at_once() {
    let mut routes = learned([]);
    for (path, template) in [
        ("/orders/42/items/7", "/orders/{id}/items/{id}"),
        ("/orders/4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "/orders/{id}"),
        ("/orders/507f1f77bcf86cd799439011/", "/orders/{id}/"),
        ("/orders/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/orders/{id}"),
        ("/days/2024-01-02", "/days/{id}"),
        ("/batch/1,2,3", "/batch/{id}"),
        ("/users/a@b.com", "/users/{id}"),
        ("/users/a%40b.com", "/users/{id}"),
        ("/k/sk_live_4eC39HqLyjWDarjtT1zdp7dc", "/k/{id}"),
        ("/orders/42?x=1", "/orders/{id}"),
        ("/cart;jsessionid=1/items", "/cart/items"),
        ("//7", "//{id}"),
        ("/reset/[redacted]", "/reset/{id}"),
        ("/cart;[redacted]", "/cart"),
        ("authority:80", "*"),
    ] {
        assert_eq!(routes.template(path), template, "{path}");
    }
}

#[test]
fn names_stay_and_cost_no_copy() {
    let mut routes = learned([]);
    for path in [
        "/",
        "/orders",
        "/orders/",
        "/api/v1/orders",
        "/api/1.0/x",
        "/deadbeef",
        "/a11y",
        "//",
        "/{order}",
        "/com.example.shop.CheckoutService/PlaceOrder",
        "/robots.txt",
        "*",
    ] {
        assert!(matches!(routes.template(path), Cow::Borrowed(same) if same == path), "{path}");
    }
    assert!(matches!(routes.template("/orders?x=/1"), Cow::Borrowed("/orders")));
}

#[test]
fn many_values_at_one_place_become_one() {
    let mut routes = learned((0..SIBLINGS_MAX).map(|n| format!("/users/name{n}/profile")));
    assert_eq!(routes.template("/users/name1/profile"), "/users/name1/profile");
    assert_eq!(routes.template("/users/onemore/profile"), "/users/{id}/profile");
    assert_eq!(routes.template("/users/name1/profile"), "/users/{id}/profile");
    // What was learned below the names is known below the value.
    assert_eq!(routes.known("/users/nobody/profile").as_deref(), Some("/users/{id}/profile"));
    assert_eq!(routes.known("/users/nobody/other"), None);
    // root, users, value, profile
    let learned = routes.learned();
    assert_eq!((learned.nodes(), learned.folds(), learned.overflows()), (4, 1, 0));
}

#[test]
fn a_name_that_many_requests_share_outlives_the_others() {
    let logins = (0..20).map(|_| "/users/login".to_owned());
    let mut routes = learned(logins.chain((0..=SIBLINGS_MAX).map(|n| format!("/users/name{n}"))));
    assert_eq!(routes.template("/users/login"), "/users/login");
    assert_eq!(routes.template("/users/name1"), "/users/{id}");
}

#[test]
fn what_was_not_found_teaches_nothing() {
    let mut routes = learned(["/orders/7".to_owned()]);
    assert_eq!(routes.known("/wp-admin"), None);
    assert_eq!(routes.known("/orders/abc"), None);
    assert_eq!(routes.known("/orders/8").as_deref(), Some("/orders/{id}"));
    assert_eq!(routes.learned().nodes(), 3);
}

#[test]
fn patterns_win() {
    let pattern = |text| PathPattern::parse(text).expect("a pattern");
    let mut routes = Templates::new(vec![pattern("/orders/{order}/items/*"), pattern("/files/**")]);
    assert_eq!(routes.template("/orders/alpha/items/9"), "/orders/{order}/items/*");
    assert_eq!(routes.template("/files/a/b/7"), "/files/**");
    assert_eq!(routes.template("/orders/9"), "/orders/{id}");
}

#[test]
fn deep_paths_end_in_a_star() {
    let mut routes = learned([]);
    let deep = "/a".repeat(DEPTH_MAX);
    assert_eq!(routes.template(&deep), deep);
    assert_eq!(routes.template(&format!("{deep}/b/c")), format!("{deep}/**"));
}

#[test]
fn the_memory_is_bounded_and_overflow_is_counted() {
    // Fewer siblings than fold at every place, so that only the cap on nodes holds.
    let mut routes = Templates::new(Vec::new());
    let name = |n: usize| format!("p{}", char::from(b'a' + u8::try_from(n).expect("small")));
    for n in 0..20_000 {
        let path = format!("/{}/{}/{}/{}", name(n % 20), name(n / 20 % 20), name(n / 400 % 20), name(n / 8000 % 20));
        routes.template(&path);
    }
    let learned = routes.learned();
    assert_eq!(learned.nodes(), NODES_MAX as u64);
    assert!(learned.overflows() > 0);
    assert_eq!(routes.template("/pa/7/pz/pz"), "/pa/{id}/{id}/{id}");
}

fn path() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        "[a-c]{1,2}",
        "[0-9a-f]{6,9}",
        ".{0,4}",
        "[a-zA-Z0-9_-]{18,70}",
        Just("{id}".to_owned()),
        Just("**".to_owned())
    ];
    proptest::collection::vec(part, 0..20).prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    // Each case is a whole life of a memory.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_template_is_its_own_template(paths in proptest::collection::vec(path(), 1..120)) {
        let mut routes = Templates::new(Vec::new());
        for path in &paths {
            let template = routes.template(path).into_owned();
            prop_assert_eq!(routes.template(&template), template.as_str());
            let known = routes.known(path).map(Cow::into_owned);
            prop_assert_eq!(known, Some(template.clone()));
            prop_assert!(template.split('/').count() <= DEPTH_MAX + 2);
        }
        prop_assert!(routes.learned().nodes() <= NODES_MAX as u64);
    }

    #[test]
    fn many_paths_make_few_templates(parts in proptest::collection::vec("[g-z]{1,12}", 200..400)) {
        let mut routes = Templates::new(Vec::new());
        for part in &parts {
            routes.template(&format!("/users/{part}"));
        }
        let templates: std::collections::HashSet<_> =
            parts.iter().map(|part| routes.template(&format!("/users/{part}")).into_owned()).collect();
        prop_assert!(templates.len() <= 10, "{:?}", templates);
    }
}

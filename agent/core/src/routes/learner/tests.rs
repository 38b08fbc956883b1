//! Routes of services as they are, and the promises of the learner under anything.

use super::*;
use proptest::prelude::*;

/// Learns `paths` twice and gives the different routes that they have then.
fn routes(paths: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    let paths: Vec<String> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
    let mut learner = Learner::new(200);
    let mut pass = || -> BTreeSet<String> { paths.iter().map(|path| of(&mut learner, path)).collect() };
    pass();
    pass().into_iter().collect()
}

fn of(learner: &mut Learner, path: &str) -> String {
    learner.route("", path, Lesson::Learn).expect("an absolute path has a route").to_owned()
}

fn words(n: usize) -> impl Iterator<Item = String> {
    let letter = |i: usize| char::from(b'a' + u8::try_from(i % 26).unwrap_or(0));
    (0..n).map(move |i| format!("na{}{}me", letter(i), letter(i / 26)))
}

#[test]
fn rest_paths_are_their_resources() {
    let ids = (1..300).flat_map(|id| {
        [
            format!("/api/v1/users/{id}"),
            format!("/api/v1/users/{id}/orders"),
            format!("/api/v1/users/{id}/orders/{}", id * 7),
            format!("/api/v1/orders/550e8400-e29b-41d4-a716-4466554{id:05}/items"),
        ]
    });
    let fixed =
        ["/", "/healthz", "/metrics", "/api/v1/users", "/api/v1/users/search", "/api/v1/orders/", "/login", "/graphql"].map(str::to_owned);
    assert_eq!(
        routes(ids.chain(fixed)),
        [
            "/",
            "/api/v1/orders",
            "/api/v1/orders/{id}/items",
            "/api/v1/users",
            "/api/v1/users/search",
            "/api/v1/users/{id}",
            "/api/v1/users/{id}/orders",
            "/api/v1/users/{id}/orders/{id}",
            "/graphql",
            "/healthz",
            "/login",
            "/metrics",
        ]
    );
}

#[test]
fn different_resources_are_never_merged_while_they_are_few() {
    let paths: Vec<String> = words(40).flat_map(|word| [format!("/api/{word}"), format!("/api/{word}/17")]).collect();
    let expected: Vec<String> = words(40).flat_map(|word| [format!("/api/{word}"), format!("/api/{word}/{{id}}")]).collect();
    assert_eq!(routes(&paths).into_iter().collect::<BTreeSet<_>>(), expected.into_iter().collect());
}

#[test]
fn names_of_users_become_one_name_with_all_below() {
    let paths = words(150).flat_map(|user| [format!("/users/{user}"), format!("/users/{user}/posts"), format!("/users/{user}/posts/5")]);
    assert_eq!(
        routes(paths.chain(["/users".to_owned(), "/about".to_owned()])),
        ["/about", "/users", "/users/{name}", "/users/{name}/posts", "/users/{name}/posts/{id}"]
    );
}

#[test]
fn pages_of_a_wiki_become_one_name() {
    let paths = words(500).map(|word| format!("/wiki/{word}_(the_one)"));
    assert_eq!(routes(paths.chain(["/wiki/Special".to_owned()])), ["/wiki/Special", "/wiki/{name}"]);
    assert_eq!(routes(words(500).map(|word| format!("/wiki/{word}"))), ["/wiki/{name}"]);
}

#[test]
fn slugs_close_long_before_words_do() {
    let paths = words(12).map(|word| format!("/blog/how-to-learn-{word}-in-a-day"));
    assert_eq!(routes(paths.chain(["/blog/feed".to_owned(), "/blog/archive".to_owned()])), ["/blog/archive", "/blog/feed", "/blog/{name}"]);
}

#[test]
fn owners_and_repositories_are_two_names() {
    let paths = words(300).flat_map(|owner| {
        let repo = format!("/{owner}/repo-{owner}");
        [format!("/{owner}"), format!("{repo}/issues"), format!("{repo}/issues/12"), format!("{repo}/blob/3f2a1b9c/src"), repo]
    });
    assert_eq!(
        routes(paths),
        ["/{name}", "/{name}/{name}", "/{name}/{name}/blob/{id}/src", "/{name}/{name}/issues", "/{name}/{name}/issues/{id}"]
    );
}

#[test]
fn objects_of_a_bucket_keep_their_extensions() {
    let paths = words(200).enumerate().flat_map(|(i, word)| {
        [
            format!("/photos/2024/{word}.jpg"),
            format!("/photos/2024/{i}.jpg"),
            format!("/photos/2024/{word}.png"),
            format!("/backup/{word}-2024-01-02.tar.gz"),
        ]
    });
    assert_eq!(routes(paths), ["/backup/{id}.gz", "/photos/{id}/{id}.jpg", "/photos/{id}/{name}.jpg", "/photos/{id}/{name}.png"]);
}

#[test]
fn assets_with_hashes_are_one_route_for_each_extension() {
    let paths = (0..300).flat_map(|i| {
        [
            format!("/assets/main.{:08x}.js", 0xa1b2_c3d4_u32.wrapping_mul(i + 1)),
            format!("/assets/style-{:08x}.css", 0x9e37_79b1_u32.wrapping_mul(i + 1)),
        ]
    });
    assert_eq!(
        routes(paths.chain(["/favicon.ico".to_owned(), "/robots.txt".to_owned(), "/assets/vendor.js".to_owned()])),
        ["/assets/vendor.js", "/assets/{id}.css", "/assets/{id}.js", "/favicon.ico", "/robots.txt"]
    );
}

#[test]
fn kubernetes_paths_keep_kinds_and_lose_names() {
    let pods = (0..100).map(|i| format!("/api/v1/namespaces/kube-system/pods/coredns-5d78c{i:05}-x2x4z/log"));
    let namespaces = words(150).flat_map(|ns| {
        [
            format!("/api/v1/namespaces/{ns}/configmaps"),
            format!("/api/v1/namespaces/{ns}/pods"),
            format!("/apis/apps/v1/namespaces/{ns}/deployments/web/scale"),
        ]
    });
    let fixed = ["/api/v1/nodes", "/api/v1/pods", "/apis/batch/v1beta1/cronjobs", "/openapi/v2", "/livez"].map(str::to_owned);
    assert_eq!(
        routes(pods.chain(namespaces).chain(fixed)),
        [
            "/api/v1/namespaces/{name}/configmaps",
            "/api/v1/namespaces/{name}/pods",
            "/api/v1/namespaces/{name}/pods/{id}/log",
            "/api/v1/nodes",
            "/api/v1/pods",
            "/apis/apps/v1/namespaces/{name}/deployments/web/scale",
            "/apis/batch/v1beta1/cronjobs",
            "/livez",
            "/openapi/v2",
        ]
    );
}

#[test]
fn secrets_in_paths_are_no_routes() {
    let paths = [
        "/reset/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4",
        "/invite/V1StGXR8_Z5jdHi6B-myT",
        "/unsubscribe/alice%40example.com",
        "/shop/cart;jsessionid=1A530637289A03B07199A44E8D531427",
    ];
    assert_eq!(routes(paths), ["/invite/{id}", "/reset/{id}", "/shop/cart", "/unsubscribe/{id}"]);
}

#[test]
fn a_path_that_may_not_exist_teaches_nothing() {
    let mut learner = Learner::new(200);
    assert_eq!(learner.route("", "/wp-admin/setup.php", Lesson::Recall), None);
    assert_eq!(learner.route("", "/users/1", Lesson::Learn), Some("/users/{id}"));
    assert_eq!(learner.route("", "/users/99", Lesson::Recall), Some("/users/{id}"));
    assert_eq!(learner.route("", "/users", Lesson::Recall), None);
    assert_eq!(learner.given, 1);
}

#[test]
fn what_is_no_path_has_no_route() {
    let mut learner = Learner::new(200);
    assert_eq!(learner.route("", "*", Lesson::Learn), None);
    assert_eq!(learner.route("", "", Lesson::Learn), None);
    assert_eq!(learner.route("", "//", Lesson::Learn), Some("/"));
}

#[test]
fn hosts_have_paths_of_their_own() {
    let mut learner = Learner::new(200);
    for word in words(150) {
        learner.route("a.example", &format!("/{word}"), Lesson::Learn);
    }
    assert_eq!(learner.route("a.example", "/login", Lesson::Learn), Some("/{name}"));
    assert_eq!(learner.route("b.example", "/login", Lesson::Learn), Some("/login"));
    for word in words(100) {
        learner.route(&word, "/x", Lesson::Learn);
    }
    assert_eq!(learner.hosts.len(), MAX_HOSTS);
}

#[test]
fn deep_paths_end_with_a_tail() {
    assert_eq!(routes(["/a".repeat(40)]), [format!("{}/{{*}}", "/a".repeat(16))]);
}

#[test]
fn beyond_the_limit_a_known_first_segment_keeps_its_name() {
    let mut learner = Learner::new(16);
    for first in words(8) {
        for second in words(8) {
            learner.route("", &format!("/{first}/{second}/{second}/{first}"), Lesson::Learn);
        }
    }
    let late = words(1).next().expect("one");
    assert_eq!(of(&mut learner, &format!("/{late}/quite/new")), format!("/{late}/{{*}}"));
    assert_eq!(of(&mut learner, "/unseen/path"), OVERFLOW);
}

#[test]
fn the_state_is_bounded_by_the_limit() {
    let mut learner = Learner::new(50);
    for i in 0..20_000_usize {
        let word = |n: usize| words(600).nth(n % 600).expect("in range");
        learner.route("", &format!("/{}/{}/{}.{}", word(i), word(i / 7), word(i / 3), ["js", "css", "a", "zz"][i % 4]), Lesson::Learn);
    }
    assert!(learner.nodes.len() <= 50 * MAX_DEPTH, "{} nodes", learner.nodes.len());
}

/// Ids of many shapes.
fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        "[1-9][0-9]{3,18}",
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}",
        "[0-9a-f]{8,64}",
        "[0-9A-F]{16}",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9]",
        "[a-z]{3,8}@[a-z]{3,8}\\.com",
        "[a-z]{3,8}%40[a-z]{3,8}\\.org",
        "[0-9][A-HJKMNP-TV-Z0-9]{23}[0-9]{2}",
        "[a-z]{2,5}_[0-9]{5,9}",
        "[A-Za-z0-9_-]{80}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn never_more_routes_than_the_limit(limit in 1usize..40, paths in proptest::collection::vec("(/[a-c]{0,3}[A-Z%.]?[a-z0-9]{0,2}){0,6}", 0..400)) {
        let mut learner = Learner::new(limit);
        let given: BTreeSet<String> = paths.iter().filter_map(|path| learner.route("", path, Lesson::Learn).map(str::to_owned)).collect();
        prop_assert!(given.len() <= limit, "{} routes", given.len());
        prop_assert!(learner.nodes.len() <= 16 * limit.max(2) + 32);
    }

    #[test]
    fn once_stable_a_path_keeps_its_route(paths in proptest::collection::vec("(/[a-d]{1,2}[A-Z.]?[a-z0-9]?){1,5}", 0..200)) {
        let mut learner = Learner::new(60);
        let mut pass = || paths.iter().map(|path| of(&mut learner, path)).collect::<Vec<_>>();
        (0..20).for_each(|_| drop(pass()));
        prop_assert_eq!(pass(), pass());
    }

    #[test]
    fn ids_never_leak(ids in proptest::collection::vec(id(), 1..40), prefix in "(/[a-z]{2,6}){0,3}", behind in "(/[a-z]{2,6}){0,2}") {
        let mut learner = Learner::new(200);
        for id in &ids {
            let route = of(&mut learner, &format!("{prefix}/{id}{behind}"));
            prop_assert_eq!(route, format!("{}/{{id}}{}", prefix, behind));
        }
    }

    #[test]
    fn a_position_closes_the_same_in_any_order(order in Just(words(150).collect::<Vec<_>>()).prop_shuffle()) {
        let mut learner = Learner::new(200);
        order.iter().for_each(|word| drop(of(&mut learner, &format!("/{word}"))));
        let all: BTreeSet<String> = order.iter().map(|word| of(&mut learner, &format!("/{word}"))).collect();
        prop_assert_eq!(all, BTreeSet::from(["/{name}".to_owned()]));
    }

    #[test]
    fn any_text_is_harmless(path in "\\PC{0,200}", host in "\\PC{0,20}") {
        let mut learner = Learner::new(10);
        learner.route(&host, &path, Lesson::Learn);
        learner.route(&host, &format!("/{path}"), Lesson::Learn);
    }
}

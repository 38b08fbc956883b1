//! Names the route of each HTTP exchange: the user's rules, then what was learned of the service that is observed.
//!
//! Bounded in services and, for each, in routes. A path that may not exist is given no route that is not known.

use crate::config::RouteRule;
use crate::entity::table::EntityId;
use remora_core::model::{Exchange, Family, Role, semconv as s};
use remora_core::routes::{Learner, Lesson, split_url};
use rustc_hash::FxHashMap;

/// Most services whose routes are known at once; an entity has one part as a client and one as a server.
const MAX_LEARNERS: usize = 2048;

/// What the user wants of routes.
#[derive(Clone, Debug)]
pub struct RouteSettings {
    /// Templates, first match first.
    pub rules: Vec<RouteRule>,
    /// Most learned routes of a service.
    pub limit: usize,
}

#[derive(Debug)]
struct Known {
    learner: Learner,
    used: u64,
}

/// Routes of all services.
#[derive(Debug)]
pub(super) struct Routes {
    settings: RouteSettings,
    known: FxHashMap<(EntityId, Role), Known>,
    uses: u64,
}

impl Routes {
    pub(super) fn new(settings: RouteSettings) -> Self {
        Self { settings, known: FxHashMap::default(), uses: 0 }
    }

    /// Sets `http.route` of a request that was served, `url.template` of one that was sent. `entity` is the observed
    /// end, `serving` the service that answers (empty if unknown).
    pub(super) fn name(&mut self, exchange: &mut Exchange, entity: EntityId, serving: &str) {
        if exchange.family != Family::Http {
            return;
        }
        let role = exchange.role.unwrap_or(Role::Client);
        let (key, url) = match role {
            Role::Server => (s::HTTP_ROUTE, exchange.attrs.str(s::URL_PATH).map(|path| ("", path))),
            Role::Client => (s::URL_TEMPLATE, exchange.attrs.str(s::URL_FULL).and_then(split_url)),
        };
        let Some((host, path)) = url else { return };
        if exchange.attrs.get(key).is_some() {
            return;
        }
        let rule = self.settings.rules.iter().find(|rule| applies(rule, path, serving, host));
        let route = match rule {
            Some(rule) => Some(rule.pattern.as_str()),
            None => learner(&mut self.known, &mut self.uses, self.settings.limit, (entity, role)).route(host, path, lesson(exchange)),
        };
        if let Some(route) = route {
            exchange.attrs.set_str(key, route);
        }
    }
}

/// Whether a rule is for this path of this service; a service that is not known goes by the host that was asked.
fn applies(rule: &RouteRule, path: &str, serving: &str, host: &str) -> bool {
    let name = if serving.is_empty() { host.split(':').next().unwrap_or_default() } else { serving };
    rule.pattern.is_match(path) && rule.service.as_ref().is_none_or(|service| service.is_match(name))
}

/// Whether the answer shows that the path exists. A path that was cut is not the path.
fn lesson(exchange: &Exchange) -> Lesson {
    let is_unknown = matches!(exchange.attrs.int(s::HTTP_RESPONSE_STATUS_CODE), Some(404 | 405 | 410 | 414 | 501));
    if is_unknown || exchange.completeness.request_cut { Lesson::Recall } else { Lesson::Learn }
}

/// What is known of a service; the one that was used longest ago makes room.
fn learner<'a>(
    known: &'a mut FxHashMap<(EntityId, Role), Known>,
    uses: &mut u64,
    limit: usize,
    whose: (EntityId, Role),
) -> &'a mut Learner {
    if known.len() >= MAX_LEARNERS
        && !known.contains_key(&whose)
        && let Some(oldest) = known.iter().min_by_key(|(_, known)| known.used).map(|(whose, _)| *whose)
    {
        known.remove(&oldest);
    }
    *uses += 1;
    let known = known.entry(whose).or_insert_with(|| Known { learner: Learner::new(limit), used: 0 });
    known.used = *uses;
    &mut known.learner
}

#[cfg(test)]
mod tests {
    use super::*;
    use remora_core::model::naming::span_name;
    use remora_core::model::{Completeness, Key};

    const SHOP: EntityId = EntityId(1);

    fn routes(rules: &[&str]) -> Routes {
        let rule = |pattern: &&str| RouteRule { service: None, pattern: pattern.parse().expect("pattern") };
        Routes::new(RouteSettings { rules: rules.iter().map(rule).collect(), limit: 200 })
    }

    fn exchange(role: Role, key: Key, url: &str, status: i64) -> Exchange {
        let mut exchange = Exchange { role: Some(role), ..Exchange::default() };
        exchange.attrs.set_str(s::HTTP_REQUEST_METHOD, "GET");
        exchange.attrs.set_str(key, url);
        exchange.attrs.set_int(s::HTTP_RESPONSE_STATUS_CODE, status);
        exchange
    }

    fn served(path: &str, status: i64) -> Exchange {
        exchange(Role::Server, s::URL_PATH, path, status)
    }

    fn named(routes: &mut Routes, mut exchange: Exchange) -> String {
        routes.name(&mut exchange, SHOP, "shop");
        let mut name = String::new();
        span_name(&exchange, &mut name);
        name
    }

    #[test]
    fn spans_of_both_ends_are_named_by_their_route() {
        let mut routes = routes(&[]);
        assert_eq!(named(&mut routes, served("/users/42", 200)), "GET /users/{id}");
        let mut sent = exchange(Role::Client, s::URL_FULL, "http://shop:8080/users/42?page=/7", 200);
        routes.name(&mut sent, SHOP, "");
        assert_eq!((sent.attrs.str(s::URL_TEMPLATE), sent.attrs.get(s::HTTP_ROUTE)), (Some("/users/{id}"), None));
    }

    #[test]
    fn the_first_rule_of_the_user_wins_where_its_service_is_the_one() {
        let mut routes = routes(&["/users/{login}", "/users/{any...}"]);
        routes.settings.rules[0].service = Some(crate::selection::Glob::new("sh*").expect("glob"));
        assert_eq!(named(&mut routes, served("/users/alice", 404)), "GET /users/{login}");
        assert_eq!(named(&mut routes, served("/users/alice/x", 200)), "GET /users/{any...}");
        let mut sent = exchange(Role::Client, s::URL_FULL, "http://shop:8080/users/alice", 200);
        routes.name(&mut sent, SHOP, "");
        assert_eq!(sent.attrs.str(s::URL_TEMPLATE), Some("/users/{login}"));
        let mut other = exchange(Role::Client, s::URL_FULL, "http://shop:8080/users/alice", 200);
        routes.name(&mut other, SHOP, "cart");
        assert_eq!(other.attrs.str(s::URL_TEMPLATE), Some("/users/{any...}"));
    }

    #[test]
    fn paths_that_were_not_found_or_were_cut_get_no_new_route() {
        let mut routes = routes(&[]);
        assert_eq!(named(&mut routes, served("/wp-login.php", 404)), "GET");
        let completeness = Completeness { request_cut: true, ..Completeness::default() };
        assert_eq!(named(&mut routes, Exchange { completeness, ..served("/users/al", 200) }), "GET");
        assert_eq!(named(&mut routes, served("/users/7", 200)), "GET /users/{id}");
        assert_eq!(named(&mut routes, served("/users/8", 404)), "GET /users/{id}");
    }

    #[test]
    fn other_families_and_urls_without_path_have_no_route() {
        let mut routes = routes(&[]);
        let mut call = Exchange { family: Family::Rpc, ..served("/pkg.Service/Method", 200) };
        routes.name(&mut call, SHOP, "");
        assert_eq!(call.attrs.get(s::HTTP_ROUTE), None);
        assert_eq!(named(&mut routes, served("*", 200)), "GET");
        assert_eq!(named(&mut routes, Exchange { role: Some(Role::Client), ..Exchange::default() }), "HTTP");
    }

    #[test]
    fn services_make_room_for_new_ones() {
        let mut routes = routes(&[]);
        for id in 0..5000 {
            routes.name(&mut served("/a", 200), EntityId(id), "");
        }
        assert_eq!(routes.known.len(), MAX_LEARNERS);
        assert!(routes.known.contains_key(&(EntityId(4999), Role::Server)) && !routes.known.contains_key(&(EntityId(0), Role::Server)));
    }
}

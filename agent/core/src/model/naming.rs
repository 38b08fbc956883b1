//! Span names by the semantic conventions: low cardinality, built from attributes alone.

use super::semconv as s;
use super::{Exchange, Family};

/// Appends the span name of `exchange` to `name`.
///
/// HTTP `{method} {route or template}`, database `{summary}` or `{operation} {target}`, RPC `{method}`, messaging
/// `{operation} {destination}`, DNS `DNS {type}`, a failed connect `connect`; each falls back to its shorter form, never to a raw path or text.
pub fn span_name(exchange: &Exchange, name: &mut String) {
    let text = |key| exchange.attrs.str(key);
    match exchange.family {
        Family::Http => {
            let method = text(s::HTTP_REQUEST_METHOD).filter(|method| *method != "_OTHER").unwrap_or("HTTP");
            pair(name, method, text(s::HTTP_ROUTE).or_else(|| text(s::URL_TEMPLATE)));
        }
        Family::Rpc => name.push_str(text(s::RPC_METHOD).or_else(|| text(s::RPC_SYSTEM_NAME)).unwrap_or("RPC")),
        Family::Db => match (text(s::DB_QUERY_SUMMARY), text(s::DB_OPERATION_NAME)) {
            (Some(summary), _) => name.push_str(summary),
            (None, Some(operation)) => pair(name, operation, text(s::DB_COLLECTION_NAME)),
            (None, None) => name.push_str(text(s::DB_SYSTEM_NAME).unwrap_or(exchange.protocol)),
        },
        Family::Messaging => match text(s::MESSAGING_OPERATION_NAME) {
            Some(operation) => pair(name, operation, text(s::MESSAGING_DESTINATION_NAME)),
            None => name.push_str(text(s::MESSAGING_SYSTEM).unwrap_or(exchange.protocol)),
        },
        Family::Dns => pair(name, "DNS", text(s::REMORA_DNS_QUESTION_TYPE)),
        Family::Tcp => name.push_str("connect"),
    }
}

fn pair(name: &mut String, first: &str, second: Option<&str>) {
    name.push_str(first);
    if let Some(second) = second {
        name.push(' ');
        name.push_str(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Key;

    fn check(family: Family, attrs: &[(Key, &str)], expected: &str) {
        let mut exchange = Exchange { family, protocol: "proto", ..Exchange::default() };
        attrs.iter().for_each(|(key, value)| exchange.attrs.set_str(*key, value));
        let mut name = String::new();
        span_name(&exchange, &mut name);
        assert_eq!(name, expected);
    }

    #[test]
    fn names_follow_the_conventions_and_fall_back() {
        check(Family::Http, &[(s::HTTP_REQUEST_METHOD, "GET"), (s::HTTP_ROUTE, "/users/{id}")], "GET /users/{id}");
        check(Family::Http, &[(s::HTTP_REQUEST_METHOD, "_OTHER"), (s::URL_PATH, "/raw")], "HTTP");
        check(Family::Db, &[(s::DB_QUERY_SUMMARY, "SELECT t"), (s::DB_OPERATION_NAME, "SELECT")], "SELECT t");
        check(Family::Db, &[(s::DB_OPERATION_NAME, "find"), (s::DB_COLLECTION_NAME, "users")], "find users");
        check(Family::Db, &[(s::DB_SYSTEM_NAME, "redis")], "redis");
        check(Family::Messaging, &[(s::MESSAGING_OPERATION_NAME, "send"), (s::MESSAGING_DESTINATION_NAME, "t")], "send t");
        check(Family::Rpc, &[], "RPC");
    }
}

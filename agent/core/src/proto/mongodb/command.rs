//! What a command and its reply say: attributes by the semantic conventions for MongoDB.

use super::bson::{ARRAY, DOCUMENT, Element, STRING, Values, elements, int32, write_name, write_value};
use super::message::{Content, OP_DELETE, OP_GET_MORE, OP_INSERT, OP_KILL_CURSORS, OP_QUERY, OP_REPLY, OP_UPDATE};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, TraceContext};
use crate::proto::Cx;
use crate::proto::keys::{set_error, set_query_text};

/// Commands whose value is the name of a collection.
const ON_COLLECTION: [&str; 35] = [
    "find",
    "insert",
    "update",
    "delete",
    "aggregate",
    "count",
    "distinct",
    "findAndModify",
    "findandmodify",
    "mapReduce",
    "mapreduce",
    "create",
    "drop",
    "createIndexes",
    "createSearchIndexes",
    "dropIndexes",
    "deleteIndexes",
    "listIndexes",
    "collMod",
    "collStats",
    "validate",
    "compact",
    "convertToCapped",
    "cloneCollectionAsCapped",
    "killCursors",
    "parallelCollectionScan",
    "reIndex",
    "dataSize",
    "geoNear",
    "geoSearch",
    "group",
    "planCacheClear",
    "planCacheListFilters",
    "dropSearchIndex",
    "updateSearchIndex",
];

/// Commands whose arguments are secrets.
const SECRET: [&str; 10] = [
    "saslStart",
    "saslContinue",
    "authenticate",
    "createUser",
    "updateUser",
    "copydbgetnonce",
    "copydbsaslstart",
    "copydb",
    "getnonce",
    "logApplicationMessage",
];

/// Elements of every command that say nothing of it.
const COMMON: [&[u8]; 13] = [
    b"lsid",
    b"$db",
    b"$clusterTime",
    b"$readPreference",
    b"txnNumber",
    b"startTransaction",
    b"autocommit",
    b"apiVersion",
    b"apiStrict",
    b"apiDeprecationErrors",
    b"comment",
    b"speculativeAuthenticate",
    b"$audit",
];

/// Flags of OP_REPLY.
const QUERY_FAILURE: u32 = 1 << 1;

fn is_in(list: &[&str], name: &[u8]) -> bool {
    list.iter().any(|known| known.as_bytes() == name)
}

/// Sets what a request says. Returns whether its answer may take any time.
pub(super) fn describe(exchange: &mut Exchange, content: &Content<'_>, cx: &mut Cx<'_>) -> bool {
    exchange.attrs.set_str(s::DB_SYSTEM_NAME, "mongodb");
    let (database, collection) = content.namespace.map_or((None, None), split_namespace);
    if let Some(operation) = legacy_operation(content, collection) {
        exchange.attrs.set_str(s::DB_OPERATION_NAME, operation);
        set_target(exchange, database, collection, cx);
        return false;
    }
    let Some(body) = content.body else {
        exchange.completeness.request_lost = true;
        return false;
    };
    let command = unwrap_query(body);
    let facts = Facts::of(command);
    let name = facts.name.filter(|name| (1..=40).contains(&name.len()) && name.iter().all(u8::is_ascii_alphanumeric));
    let Some(name) = name else {
        cx.count(Loss::Malformed, 1);
        return false;
    };
    exchange.attrs.set_bytes(s::DB_OPERATION_NAME, name);
    set_target(exchange, facts.database.or(database), facts.collection, cx);
    if let Some((_, documents)) = content.sequence {
        let n = count(documents);
        if n > 1 {
            exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, n);
        }
    } else if facts.batch > 1 {
        exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, facts.batch);
    }
    if let Some(context) = facts.comment.and_then(trace_context) {
        exchange.context = Some(context);
    }
    let values = if cx.options.raw_text && !is_in(&SECRET, name) { Values::Shown } else { Values::Hidden };
    let limit = cx.options.text_limit;
    let sequence = content.sequence.map(|(name, _)| name);
    set_query_text(exchange, cx, |out| write_command(command, sequence, values, out.len() + limit, out));
    facts.is_endless
}

/// The operation of a message from before commands.
fn legacy_operation(content: &Content<'_>, collection: Option<&[u8]>) -> Option<&'static str> {
    match content.opcode {
        OP_QUERY if collection != Some(b"$cmd") => Some("find"),
        OP_INSERT => Some("insert"),
        OP_UPDATE => Some("update"),
        OP_DELETE => Some("delete"),
        OP_GET_MORE => Some("getMore"),
        OP_KILL_CURSORS => Some("killCursors"),
        _ => None,
    }
}

/// Database and collection of `database.collection`.
fn split_namespace(full: &[u8]) -> (Option<&[u8]>, Option<&[u8]>) {
    match full.iter().position(|byte| *byte == b'.') {
        Some(at) => (Some(&full[..at]), Some(&full[at + 1..])),
        None => (Some(full), None),
    }
}

fn set_target(exchange: &mut Exchange, database: Option<&[u8]>, collection: Option<&[u8]>, cx: &mut Cx<'_>) {
    const MAX_NAME: usize = 255;
    for (key, name) in [(s::DB_NAMESPACE, database), (s::DB_COLLECTION_NAME, collection)] {
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            if name.len() > MAX_NAME {
                cx.count(Loss::Text, 1);
            }
            exchange.attrs.set_bytes(key, &name[..name.len().min(MAX_NAME)]);
        }
    }
}

/// The command in `{$query: {…}, …}`, as old drivers send it.
fn unwrap_query(body: &[u8]) -> &[u8] {
    match elements(body).next() {
        Some(Element { kind: DOCUMENT, name: b"$query" | b"query", value }) => value,
        _ => body,
    }
}

/// What a command's top-level elements tell.
#[derive(Default)]
struct Facts<'a> {
    name: Option<&'a [u8]>,
    collection: Option<&'a [u8]>,
    database: Option<&'a [u8]>,
    comment: Option<Element<'a>>,
    /// Documents of an array that the command is about.
    batch: i64,
    is_endless: bool,
}

impl<'a> Facts<'a> {
    fn of(command: &'a [u8]) -> Self {
        let mut facts = Facts::default();
        for (i, element) in elements(command).enumerate() {
            match element.name {
                name if i == 0 => {
                    facts.name = Some(name);
                    facts.collection = element.string().filter(|_| is_in(&ON_COLLECTION, name));
                }
                b"collection" if facts.name == Some(b"getMore") => facts.collection = element.string(),
                b"$db" => facts.database = element.string(),
                b"comment" => facts.comment = Some(element),
                b"maxAwaitTimeMS" | b"topologyVersion" => facts.is_endless = true,
                b"documents" | b"updates" | b"deletes" if element.kind == ARRAY && element.is_whole() => {
                    facts.batch = i64::try_from(elements(element.value).count()).unwrap_or(i64::MAX);
                }
                _ => {}
            }
        }
        facts
    }
}

/// Documents that stand one behind the other.
fn count(mut documents: &[u8]) -> i64 {
    let mut n = 0;
    while let Some(len) = int32(documents, 0).and_then(|len| usize::try_from(len).ok()).filter(|len| *len >= 5) {
        n += 1;
        documents = documents.get(len..).unwrap_or_default();
    }
    n
}

/// Trace context in a comment: `traceparent` as an element of a document, or anywhere in a text in the way of
/// sqlcommenter (`traceparent='00-…'`) or of JSON.
fn trace_context(comment: Element<'_>) -> Option<TraceContext> {
    const NAME: &[u8] = b"traceparent";
    const LEN: usize = 55;
    match comment.kind {
        DOCUMENT => {
            let element = elements(comment.value).find(|element| element.name == NAME)?;
            TraceContext::parse(element.string()?)
        }
        STRING => {
            let text = comment.string()?;
            let at = memchr::memmem::find(text, NAME)? + NAME.len();
            let start = at + text[at..].iter().position(u8::is_ascii_hexdigit)?;
            TraceContext::parse(text.get(start..start + LEN)?)
        }
        _ => None,
    }
}

/// Appends a command as text, in the order of its elements.
fn write_command(command: &[u8], sequence: Option<&[u8]>, values: Values, limit: usize, out: &mut String) {
    out.push('{');
    let told = elements(command).filter(|element| !COMMON.contains(&element.name));
    for (i, element) in told.enumerate() {
        if i > 0 {
            out.push(',');
        }
        write_name(element.name, out);
        let is_name = i == 0 && is_in(&ON_COLLECTION, element.name) || element.name == b"collection";
        let values = if is_name { Values::Shown } else { values };
        write_value(&element, values, limit, 0, out);
        if out.len() > limit {
            return;
        }
    }
    if let Some(name) = sequence {
        out.push(',');
        write_name(name, out);
        out.push_str("[?]");
    }
    out.push('}');
}

/// Sets what a reply says of how its request turned out.
pub(super) fn outcome(exchange: &mut Exchange, content: &Content<'_>) {
    let mut failed = content.opcode == OP_REPLY && content.flags & QUERY_FAILURE != 0;
    let mut code = None;
    for element in elements(content.body.unwrap_or_default()) {
        match element.name {
            b"ok" => failed |= element.number() == Some(0.0),
            b"$err" => failed = true,
            b"code" => code = code.or(code_of(&element)),
            b"writeErrors" if element.kind == ARRAY => {
                if let Some(first) = elements(element.value).next() {
                    failed = true;
                    code = code.or(code_in(&first));
                }
            }
            b"writeConcernError" if element.kind == DOCUMENT => {
                failed = true;
                code = code.or(code_in(&element));
            }
            b"cursor" if element.is_whole() => set_rows(exchange, element.value),
            _ => {}
        }
    }
    match code.filter(|_| failed) {
        Some(code) => set_error(exchange, &code.to_string()),
        None if failed => exchange.error = Some(s::ERROR_OTHER.to_owned()),
        None => {}
    }
}

fn code_in(document: &Element<'_>) -> Option<i64> {
    elements(document.value).find(|element| element.name == b"code").and_then(|element| code_of(&element))
}

#[expect(clippy::cast_possible_truncation, reason = "codes are small integers, whatever type carries them")]
fn code_of(element: &Element<'_>) -> Option<i64> {
    element.number().map(|code| code as i64)
}

fn set_rows(exchange: &mut Exchange, cursor: &[u8]) {
    let batch = elements(cursor).find(|element| element.kind == ARRAY && matches!(element.name, b"firstBatch" | b"nextBatch"));
    if let Some(batch) = batch {
        let rows = elements(batch.value).count();
        exchange.attrs.set_int(s::DB_RESPONSE_RETURNED_ROWS, i64::try_from(rows).unwrap_or(i64::MAX));
    }
}

//! SQL text of any dialect, made fit to leave the node: literals out, a summary, the trace context of its comments.
//!
//! One pass over the text, no grammar: tokens tell literals from names, and a few keywords tell operations and targets
//! (semantic conventions 1.44, "Generating a summary of the query"). A literal must never come through, so whatever is
//! not understood to its end counts as one; a target that is not certain is left out.

mod comment;
mod sanitise;
mod scan;
mod store;
mod summary;
#[cfg(test)]
mod tests;

use super::{Cx, Options};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, TraceContext};
use scan::{Kind, Scanner};
pub(super) use store::Statements;

/// Whose rules of quoting and comments hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `"name"`, `$1`, `$tag$text$tag$`, `E'\n'`, nested comments.
    Postgres,
    /// `` `name` ``, `"text"`, backslash escapes, `#` comments, `/*! code */`.
    MySql,
}

/// What is kept of a statement's text. Meant to be filled again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    /// Text with every literal replaced by `?` (or raw, by option), white space in runs of one.
    text: String,
    /// `db.query.summary`; empty if nothing is certain.
    summary: String,
    /// Its operation, upper case, e.g. `SELECT` or `CREATE TABLE`; empty if unknown.
    operation: String,
    /// The one table it names; empty if there are none or several.
    collection: String,
    /// The stored procedure that it calls; empty if none.
    procedure: String,
    /// Statements in the text.
    count: u32,
    /// Whether the end of the text is missing, by capture or by limit.
    cut: Cut,
    context: Option<TraceContext>,
    trace_state: String,
}

/// Why the end of a text is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cut {
    #[default]
    Whole,
    /// Capture did not deliver it.
    Captured,
    /// It is beyond `text_limit`.
    Limit,
}

impl Statement {
    /// Reads `raw`. `whole` says that it is all of the text.
    pub(super) fn fill(&mut self, raw: &[u8], dialect: Dialect, options: &Options, whole: bool) {
        self.clear();
        self.cut = if whole { Cut::Whole } else { Cut::Captured };
        let mut writer = sanitise::Writer::new(options.text_limit);
        let texts = [&mut self.summary, &mut self.operation, &mut self.collection, &mut self.procedure];
        let mut summary = summary::Summary::over(texts.map(std::mem::take));
        let mut scanner = Scanner::new(raw, dialect);
        while let Some(token) = scanner.next() {
            if token.kind == Kind::Comment {
                if let Some((context, state)) = comment::trace_context(token.text) {
                    self.context = Some(context);
                    state.clone_into(&mut self.trace_state);
                }
                continue;
            }
            // The last word of a text that was cut may be the start of a longer one.
            let is_sure = whole || !scanner.rest().is_empty() || !matches!(token.kind, Kind::Word | Kind::Quoted);
            if writer.token(&token, &mut self.text) && is_sure {
                summary.token(&token, scanner.rest());
            }
        }
        if options.raw_text {
            self.text.clear();
            writer.raw(raw, &mut self.text);
        }
        if writer.finish(&mut self.text) {
            self.cut = Cut::Limit;
        }
        ([self.summary, self.operation, self.collection, self.procedure], self.count) = summary.finish();
        if !whole && !matches!(&*self.operation, "INSERT" | "REPLACE" | "COPY") {
            // What was cut may name more tables.
            self.collection.clear();
        }
    }

    fn clear(&mut self) {
        let Self { text, summary, operation, collection, procedure, trace_state, .. } = self;
        [text, summary, operation, collection, procedure, trace_state].into_iter().for_each(String::clear);
        (self.count, self.cut, self.context) = (0, Cut::Whole, None);
    }

    /// Bytes that it holds.
    fn size(&self) -> usize {
        let Self { text, summary, operation, collection, procedure, trace_state, .. } = self;
        [text, summary, operation, collection, procedure, trace_state].into_iter().map(String::capacity).sum()
    }

    /// Says on `exchange` what it runs.
    pub(super) fn apply(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        let mut set = |key, value: &str| {
            if !value.is_empty() {
                exchange.attrs.set_str(key, value);
            }
        };
        set(s::DB_QUERY_SUMMARY, &self.summary);
        set(s::DB_OPERATION_NAME, &self.operation);
        set(s::DB_COLLECTION_NAME, &self.collection);
        set(s::DB_STORED_PROCEDURE_NAME, &self.procedure);
        set(s::DB_QUERY_TEXT, &self.text);
        if self.count > 1 {
            exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, i64::from(self.count));
        }
        exchange.completeness.request_cut |= self.cut != Cut::Whole;
        if self.cut == Cut::Limit {
            cx.count(Loss::Text, 1);
        }
    }

    /// As [`Self::apply`], for the request that only prepares it.
    pub(super) fn apply_prepare(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        self.apply(exchange, cx);
        prepares(exchange);
    }

    /// Gives `exchange` the trace context that the text carries: only for the request that carried the text itself.
    pub(super) fn apply_context(&self, exchange: &mut Exchange) {
        if self.context.is_some() {
            exchange.context = self.context;
            exchange.trace_state.clear();
            exchange.trace_state.push_str(&self.trace_state);
        }
    }
}

/// The statement that `exchange` names is only prepared.
pub(super) fn prepares(exchange: &mut Exchange) {
    let summary = exchange.attrs.str(s::DB_QUERY_SUMMARY).map(|summary| format!("PREPARE {summary}"));
    exchange.attrs.set_str(s::DB_QUERY_SUMMARY, summary.as_deref().unwrap_or("PREPARE"));
    exchange.attrs.set_static(s::DB_OPERATION_NAME, "PREPARE");
}

/// Sets the one attribute that every exchange of a database has, and its namespace where that is known.
pub(super) fn system(exchange: &mut Exchange, system: &'static str, namespace: &str) {
    exchange.attrs.set_static(s::DB_SYSTEM_NAME, system);
    if !namespace.is_empty() {
        exchange.attrs.set_str(s::DB_NAMESPACE, namespace);
    }
}

/// An error answer: `code` is both status code and `error.type`.
pub(super) fn fail(exchange: &mut Exchange, code: &str) {
    exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code);
    exchange.error = Some(code.to_owned());
}

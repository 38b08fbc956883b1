//! SQL text of any dialect, made fit to leave the node: literals out, a summary, the trace context of its comments.
//!
//! No grammar: tokens tell literals from names, and a few keywords tell operations and targets (semantic conventions
//! 1.44, "Generating a summary of the query"). A literal must never come through, so whatever is not understood to its
//! end counts as one; a target that is not certain is left out. The summary is read from the text without literals, so
//! it is remembered by that ([`Digests`]): programs send few different ones again and again.

#[cfg(test)]
mod captures;
mod comment;
mod digest;
mod sanitise;
mod scan;
mod store;
#[cfg(test)]
pub(super) mod subset;
mod summary;
#[cfg(test)]
mod tests;

use super::url::write_text;
use super::{Cx, Options};
use crate::flow::Loss;
use crate::model::semconv as s;
use crate::model::{Exchange, TraceContext};
use digest::Digest;
pub(crate) use digest::Digests;
use scan::{Kind, Scanner};
pub(super) use store::Statements;

/// Whose rules of quoting and comments hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `"name"`, `$1`, `$tag$text$tag$`, `E'\n'`, nested comments.
    Postgres,
    /// `` `name` ``, `"text"`, `#` comments, `/*! code */`.
    MySql,
}

/// What a backslash is in a string without a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backslash {
    /// A character like any other (`standard_conforming_strings`, `NO_BACKSLASH_ESCAPES`).
    Plain,
    /// It escapes the character behind it.
    Escape,
    /// Not known: where that decides where a string ends, all that follows is taken for one.
    Unknown,
}

/// How texts of a connection are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rules {
    pub(super) dialect: Dialect,
    pub(super) backslash: Backslash,
}

/// What is kept of a statement's text. Meant to be filled again and again.
#[derive(Clone, Debug, Default)]
pub(super) struct Statement {
    /// Text with every literal replaced by `?` (or raw, by option), white space in runs of one.
    text: String,
    digest: Digest,
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
    pub(super) fn fill(&mut self, raw: &[u8], whole: bool, rules: Rules, options: &Options, digests: &mut Digests) {
        let mut text = std::mem::take(&mut digests.scratch);
        self.sanitise(raw, rules, &mut text);
        digests.read(&text, whole, rules.dialect, &mut self.digest);
        self.cut = if whole { Cut::Whole } else { Cut::Captured };
        self.set_text(if options.raw_text { raw } else { &text }, options.text_limit);
        digests.scratch = text;
    }

    /// Writes `raw` without its literals and comments to `text`, and keeps the trace context of these.
    fn sanitise(&mut self, raw: &[u8], rules: Rules, text: &mut Vec<u8>) {
        text.clear();
        self.context = None;
        self.trace_state.clear();
        let mut writer = sanitise::Writer::default();
        let mut scanner = Scanner::new(raw, rules);
        while let Some(token) = scanner.next() {
            if token.kind != Kind::Comment {
                writer.token(&token, text);
            } else if let Some((context, state)) = comment::trace_context(token.text) {
                self.context = Some(context);
                state.clone_into(&mut self.trace_state);
            }
        }
    }

    /// Keeps as much of `shown` as the limit allows, to the end of a character.
    fn set_text(&mut self, shown: &[u8], limit: usize) {
        self.text.clear();
        write_text(&mut self.text, &shown[..shown.len().min(limit.saturating_add(3))]);
        if shown.len() > limit || self.text.len() > limit {
            self.text.truncate(self.text.floor_char_boundary(limit));
            self.cut = Cut::Limit;
        }
    }

    /// Bytes that it holds.
    fn size(&self) -> usize {
        self.text.capacity() + self.digest.size() + self.trace_state.capacity()
    }

    /// Says on `exchange` what it runs.
    pub(super) fn apply(&self, exchange: &mut Exchange, cx: &mut Cx<'_>) {
        let mut set = |key, value: &str| {
            if !value.is_empty() {
                exchange.attrs.set_str(key, value);
            }
        };
        set(s::DB_QUERY_SUMMARY, &self.digest.summary);
        set(s::DB_OPERATION_NAME, &self.digest.operation);
        set(s::DB_COLLECTION_NAME, &self.digest.collection);
        set(s::DB_STORED_PROCEDURE_NAME, &self.digest.procedure);
        set(s::DB_QUERY_TEXT, &self.text);
        if self.digest.count > 1 {
            exchange.attrs.set_int(s::DB_OPERATION_BATCH_SIZE, i64::from(self.digest.count));
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
    exchange.attrs.set_str(s::DB_OPERATION_NAME, "PREPARE");
}

/// Sets the one attribute that every exchange of a database has, and its namespace where that is known.
pub(super) fn system(exchange: &mut Exchange, system: &'static str, namespace: &str) {
    exchange.attrs.set_str(s::DB_SYSTEM_NAME, system);
    if !namespace.is_empty() {
        exchange.attrs.set_str(s::DB_NAMESPACE, namespace);
    }
}

/// An error answer: `code` is both status code and `error.type`.
pub(super) fn fail(exchange: &mut Exchange, code: &str) {
    exchange.attrs.set_str(s::DB_RESPONSE_STATUS_CODE, code);
    exchange.error = Some(code.to_owned());
}

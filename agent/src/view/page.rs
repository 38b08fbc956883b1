//! The page: static files in the binary, without data, without anything from elsewhere.

use axum::http::header;
use axum::response::IntoResponse;

/// One file of the page.
pub(super) struct File {
    /// Path below the root.
    pub(super) path: &'static str,
    kind: &'static str,
    text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// All files of the page.
pub(super) const FILES: &[File] = &[
    File { path: "/", kind: HTML, text: include_str!("page/index.html") },
    File { path: "/style.css", kind: CSS, text: include_str!("page/style.css") },
    File { path: "/app.js", kind: JS, text: include_str!("page/app.js") },
    File { path: "/api.js", kind: JS, text: include_str!("page/api.js") },
    File { path: "/dom.js", kind: JS, text: include_str!("page/dom.js") },
    File { path: "/requests.js", kind: JS, text: include_str!("page/requests.js") },
    File { path: "/detail.js", kind: JS, text: include_str!("page/detail.js") },
    File { path: "/panels.js", kind: JS, text: include_str!("page/panels.js") },
];

impl File {
    /// What the file holds.
    #[cfg(test)]
    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// The file as an answer.
    pub(super) fn answer(&'static self) -> impl IntoResponse {
        ([(header::CONTENT_TYPE, self.kind)], self.text)
    }
}

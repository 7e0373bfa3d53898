//! How to mount this gateway: the commands that the program made for this host.

use std::fmt::Write;

use http::{Response, StatusCode};

use super::escape::text;
use super::html;
use super::layout::Page;
use crate::body::Body;
use crate::exchange::Exchange;

/// The page.
pub(crate) fn page(exchange: &Exchange) -> Response<Body> {
    let mut body = "<h1>Connect</h1>".to_owned();
    if exchange.config().connect.is_empty() {
        body.push_str("<p class=\"notice\">This gateway was started without mount commands to show.</p>");
    }
    for (title, command) in &exchange.config().connect {
        let _ = write!(
            body,
            "<h2>{}</h2><pre class=\"command\">{}</pre>",
            text(title),
            command.lines().map(|line| format!("{}\n", text(line))).collect::<String>()
        );
    }
    html(exchange, StatusCode::OK, Page::new("Connect", None).finish(&body))
}

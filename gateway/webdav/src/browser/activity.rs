//! Work under way, and work that ended lately.

use std::fmt::Write;

use http::{Response, StatusCode};

use super::escape::text;
use super::html;
use super::layout::{Page, size, time};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::service::Service;

/// Rows of the page at most.
const ROWS: usize = 500;

/// The page. It looks again every few seconds while something runs.
pub(crate) fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let works = service.vfs.activity();
    let running = works.iter().filter(|work| work.ended.is_none()).count();
    let mut page = Page::new("Activity", None);
    if running > 0 {
        page.refresh_every(3);
    }
    let mut body = format!("<h1>Activity</h1><div class=\"bar\"><span>{running} under way</span></div>");
    if works.is_empty() {
        body.push_str("<p class=\"notice\">Nothing has been asked of an endpoint yet.</p>");
        return html(exchange, StatusCode::OK, page.finish(&body));
    }
    body.push_str(
        "<table><thead><tr><th scope=\"col\">Work</th><th scope=\"col\">Path</th><th scope=\"col\">Flow</th><th scope=\"col\">For</th>\
         <th scope=\"col\">Started (UTC)</th><th scope=\"col\" class=\"number\">So far</th><th scope=\"col\">State</th></tr></thead><tbody>",
    );
    for work in works.iter().take(ROWS) {
        let so_far = match (work.rows, work.bytes) {
            (0, 0) => String::new(),
            (0, bytes) => size(bytes),
            (rows, _) => format!("{rows} rows"),
        };
        let state = match &work.ended {
            None => match (work.queued_until, work.waits_until) {
                (Some(end), _) => {
                    format!(
                        "<span class=\"badge\">waits until the endpoint is back, at most until {}</span>",
                        time(Some(end))
                    )
                }
                (None, Some(due)) => {
                    format!("<span class=\"badge\">waits for the endpoint until about {}</span>", time(Some(due)))
                }
                (None, None) => "<span class=\"badge running\">under way</span>".to_owned(),
            },
            Some(end) => text(end).to_string(),
        };
        let _ = write!(
            body,
            "<tr><td>{}</td><td class=\"name\">{}</td><td><code>{}</code></td><td>{}</td><td class=\"when\">{}</td>\
             <td class=\"number\">{so_far}</td><td>{state}</td></tr>",
            text(work.work),
            text(&work.path),
            text(work.job.as_deref().unwrap_or("")),
            text(&work.principal),
            time(Some(work.started)),
        );
    }
    body.push_str("</tbody></table>");
    html(exchange, StatusCode::OK, page.finish(&body))
}

//! Work under way, and work that ended lately.

use std::fmt::Write;

use http::{Response, StatusCode};
use vfs::{Activity, Timestamp};

use super::escape::{attribute, text};
use super::layout::{Page, count, size, time};
use super::live::{self, Topic};
use super::rows::ago;
use super::{form, html};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::refusal::{Answer, Refusal};
use crate::service::Service;

/// Rows of the page at most.
const ROWS: usize = 500;
/// Where it is.
pub(crate) const HREF: &str = "/-/activity";

/// The page.
pub(crate) async fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let seen = live::signature(&service.vfs, &service.pages.works, &Topic::Activity).await;
    let works = service.vfs.activity();
    let now = service.vfs.now();
    let mut page = Page::new("Activity", None).at(HREF);
    page.live(live::activity_address(&seen));
    let running: Vec<&Activity> = works.iter().filter(|work| work.ended.is_none()).collect();
    let ended: Vec<&Activity> = works.iter().filter(|work| work.ended.is_some()).collect();
    if !running.is_empty() {
        page.refresh_every(3);
    }
    let mut body = "<h1>Activity</h1>".to_owned();
    let waiting = running.iter().filter(|work| work.waits_until.is_some() || work.queued_until.is_some()).count();
    let _ = write!(
        body,
        "<div class=\"bar\"><span>{} under way{}</span><span>{} ended lately</span><a href=\"{HREF}?json\">JSON</a></div>",
        running.len(),
        if waiting > 0 { format!(", {waiting} of them wait") } else { String::new() },
        ended.len()
    );
    if works.is_empty() {
        body.push_str("<p class=\"notice\">Nothing has been asked of an endpoint yet.</p>");
        return html(exchange, StatusCode::OK, page.finish(&body));
    }
    if !running.is_empty() {
        body.push_str("<h2>Under way</h2>");
        table(&mut body, service, &running, now);
    }
    if !ended.is_empty() {
        body.push_str("<h2>Ended lately</h2>");
        table(&mut body, service, &ended, now);
    }
    html(exchange, StatusCode::OK, page.finish(&body))
}

fn table(body: &mut String, service: &Service, works: &[&Activity], now: Timestamp) {
    body.push_str(
        "<table class=\"rows\"><thead><tr><th scope=\"col\">Work</th><th scope=\"col\">Path</th><th scope=\"col\">State</th>\
         <th scope=\"col\" class=\"number\">So far</th><th scope=\"col\">For</th><th scope=\"col\">Started (UTC)</th>\
         <th scope=\"col\">Flow</th><th scope=\"col\"><span class=\"hidden\">Cancel</span></th></tr></thead><tbody>",
    );
    for work in works.iter().take(ROWS) {
        row(body, service, work, now);
    }
    body.push_str("</tbody></table>");
    if works.len() > ROWS {
        let _ = write!(body, "<p class=\"dim\">and {} more</p>", works.len() - ROWS);
    }
}

fn row(body: &mut String, service: &Service, work: &Activity, now: Timestamp) {
    let so_far = match (work.rows, work.bytes) {
        (0, 0) => String::new(),
        (0, bytes) => size(bytes),
        (rows, _) => count(rows, "row", "rows"),
    };
    let _ = write!(
        body,
        "<tr><td>{}</td><td class=\"name\"><bdi>{}</bdi></td><td class=\"state\">{}</td><td class=\"number\">{so_far}</td><td>{}</td>\
         <td class=\"when\">{} <span class=\"dim\">{}</span></td><td><code>{}</code></td><td class=\"act\">",
        text(work.work),
        text(&work.path),
        state(service, work),
        text(&work.principal),
        time(Some(work.started)),
        ago(work.started, now),
        text(work.job.as_deref().unwrap_or("")),
    );
    if let (None, Some(job)) = (&work.ended, &work.job) {
        let _ = write!(
            body,
            "<form method=\"post\" action=\"{HREF}?cancel\"><input type=\"hidden\" name=\"job\" value=\"{0}\">\
             <button aria-label=\"Cancel flow {0}\">Cancel</button></form>",
            attribute(job)
        );
    }
    body.push_str("</td></tr>");
}

fn state(service: &Service, work: &Activity) -> String {
    match (&work.ended, work.queued_until, work.waits_until) {
        (Some(end), _, _) if &**end == "done" => "<span class=\"badge listed\">done</span>".to_owned(),
        (Some(end), _, _) => format!("<span class=\"badge failed\">failed</span> {}", text(end)),
        (None, Some(until), _) => format!(
            "<span class=\"badge\">waits</span> until the endpoint is back, at most until {}",
            time(Some(until))
        ),
        (None, None, Some(due)) => {
            let seconds = due.since(service.vfs.now()).as_secs();
            format!("<span class=\"badge\">waits</span> for the endpoint to take work, about {seconds} s more")
        }
        (None, None, None) if work.job.is_none() => "<span class=\"badge\">queued</span>".to_owned(),
        (None, None, None) => "<span class=\"badge running\">under way</span>".to_owned(),
    }
}

/// The button that takes a flow back.
pub(crate) async fn cancel(service: &Service, exchange: &Exchange, body: &[u8]) -> Answer {
    let fields = form::fields(body).ok_or_else(|| Refusal::bad_request("this is no form of ours"))?;
    let job = form::field(&fields, "job").ok_or_else(|| Refusal::bad_request("the form names no flow"))?;
    let mut call = exchange.call_held(exchange.config().hold);
    call.explicit = true;
    service.vfs.cancel(job, &call).await.map_err(|error| Refusal::from_error(&error, exchange.class))?;
    super::see_other(HREF)
}

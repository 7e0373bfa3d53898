//! Whether all is well: what the program says of itself, the endpoints in numbers, and how the server answers.

use std::fmt::Write;

use http::{Response, StatusCode};
use serde_json::Value;

use super::escape::text;
use super::html;
use super::layout::{Page, count, size};
use crate::body::Body;
use crate::exchange::Exchange;
use crate::service::Service;

/// The page.
pub(crate) fn page(service: &Service, exchange: &Exchange) -> Response<Body> {
    let status = crate::api::status(service);
    let mut page = Page::new("Health", None).at("/-/health");
    page.refresh_every(10);
    let mut body = "<h1>Health</h1>".to_owned();
    let number = |pointer: &str| status.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    let failures: u64 = calls(&status).map(|(_, call)| call.get("failures").and_then(Value::as_u64).unwrap_or(0)).sum();
    let _ = write!(
        body,
        "<div class=\"bar\"><span class=\"badge {}\">{}</span><span>{} · {} online · {} under way</span>\
         <a href=\"/-/health?json\">JSON</a><a href=\"/-/metrics\">Metrics</a></div>",
        if failures == 0 { "listed" } else { "running" },
        if failures == 0 { "well".to_owned() } else { count(failures, "call failed", "calls failed") },
        count(number("/endpoints/known"), "endpoint", "endpoints"),
        number("/endpoints/online"),
        count(number("/endpoints/jobs"), "job", "jobs"),
    );
    body.push_str("<div class=\"columns\"><section><h2>Program</h2><table class=\"facts\"><tbody>");
    if let Value::Object(fields) = &status {
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "calls" | "endpoints")) {
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{}</th><td>{}</td></tr>",
                text(&name.replace('_', " ")),
                words(name, value)
            );
        }
    }
    body.push_str("</tbody></table></section><section><h2>Calls to the server</h2>");
    if calls(&status).next().is_none() {
        body.push_str("<p class=\"notice\">None yet.</p>");
    } else {
        body.push_str(
            "<table class=\"rows\"><thead><tr><th scope=\"col\">Call</th><th scope=\"col\" class=\"number\">Calls</th>\
             <th scope=\"col\" class=\"number\">Failures</th><th scope=\"col\" class=\"number\">Half within</th>\
             <th scope=\"col\" class=\"number\">99 of 100 within</th><th scope=\"col\" class=\"number\">Slowest</th></tr></thead><tbody>",
        );
        for (name, call) in calls(&status) {
            let figure = |name: &str| call.get(name).and_then(Value::as_u64).unwrap_or(0);
            let _ = write!(
                body,
                "<tr><th scope=\"row\">{}</th><td class=\"number\">{}</td><td class=\"number\">{}</td>\
                 <td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
                text(name),
                figure("calls"),
                figure("failures"),
                micros(figure("median_micros")),
                micros(figure("most_micros")),
                micros(figure("slowest_micros")),
            );
        }
        body.push_str("</tbody></table>");
    }
    body.push_str("</section></div>");
    html(exchange, StatusCode::OK, page.finish(&body))
}

fn calls(status: &Value) -> impl Iterator<Item = (&String, &Value)> {
    status.get("calls").and_then(Value::as_object).into_iter().flatten()
}

fn micros(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{} ms", micros / 1_000),
        _ => format!("{}.{} s", micros / 1_000_000, micros / 100_000 % 10),
    }
}

/// A value of the status for people.
fn words(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "<span class=\"dim\">none</span>".to_owned(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::String(words) => text(words).to_string(),
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if name.contains("bytes") => size(bytes),
            _ => number.to_string(),
        },
        Value::Array(values) if values.is_empty() => "<span class=\"dim\">none</span>".to_owned(),
        Value::Array(values) => values.iter().map(|value| words(name, value)).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let told =
                fields.iter().map(|(name, value)| format!("{} {}", text(&name.replace('_', " ")), words(name, value)));
            told.collect::<Vec<_>>().join("<br>")
        }
    }
}

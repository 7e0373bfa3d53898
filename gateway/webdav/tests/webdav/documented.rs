//! docs/openapi.yaml is held against what the handlers answer: every operation, every field, both ways.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::support::*;

/// The document, and which of its fields answers have had.
struct Document {
    root: Value,
    seen: BTreeSet<String>,
}

impl Document {
    fn read() -> Document {
        let root = serde_yaml::from_str(include_str!("../../../../docs/openapi.yaml")).expect("YAML");
        Document { root, seen: BTreeSet::new() }
    }

    /// What a reference stands for, and its name.
    fn resolved<'a>(&'a self, schema: &'a Value, name: &str) -> (&'a Value, String) {
        match schema["$ref"].as_str() {
            Some(reference) => {
                let target = self.root.pointer(reference.trim_start_matches('#')).unwrap_or(&Value::Null);
                assert!(target.is_object(), "{reference} leads nowhere");
                self.resolved(target, reference.rsplit('/').next().unwrap())
            }
            None => (schema, name.to_owned()),
        }
    }

    /// Checks a value; notes the fields it has.
    fn check(&mut self, schema: &Value, value: &Value, name: &str) {
        let (schema, name) = self.resolved(schema, name);
        let schema = schema.clone();
        if let Some(choices) = schema["oneOf"].as_array() {
            let choice = if value.is_null() { 0 } else { choices.len() - 1 };
            return self.check(&choices[choice], value, &name);
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => panic!("{name} has no type: {schema}"),
        };
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        assert!(kinds.contains(&kind), "{name} is {kinds:?}, not {value}");
        if let Some(allowed) = schema["enum"].as_array() {
            assert!(allowed.contains(value), "{name}: {value} is none of {allowed:?}");
        }
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.check(&schema["items"], value, &name)),
            Value::Object(fields) => self.check_fields(&schema, fields, &name),
            _ => {}
        }
    }

    fn check_fields(&mut self, schema: &Value, fields: &serde_json::Map<String, Value>, name: &str) {
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(fields.contains_key(required), "{name} lacks {required}: {fields:?}");
        }
        for (field, value) in fields {
            let of = format!("{name}.{field}");
            match (&schema["properties"][field], &schema["additionalProperties"]) {
                (Value::Null, Value::Bool(true)) => {}
                (Value::Null, more @ Value::Object(_)) => self.check(more, value, &of),
                (Value::Null, _) => panic!("{of} is not documented"),
                (property, _) => {
                    self.check(property, value, &of);
                    self.seen.insert(of);
                }
            }
        }
    }

    /// Checks the answer of an operation.
    fn answer(&mut self, method: &str, path: &str, response: &Response) {
        let operation = self.root["paths"][path][method].clone();
        assert!(operation.is_object(), "{method} {path} is not documented");
        let status = response.status.to_string();
        let documented = &operation["responses"];
        let documented = if documented[&status].is_object() { &documented[&status] } else { &documented["default"] };
        let (documented, _) = self.resolved(documented, "");
        let documented = documented.clone();
        if !documented["content"].is_object() {
            return;
        }
        let media = response.header("content-type").unwrap().split(';').next().unwrap();
        let schema = &documented["content"][media]["schema"];
        assert!(schema.is_object(), "{method} {path} answers {media}: {}", String::from_utf8_lossy(&response.body));
        match media {
            "application/json" => {
                let value = serde_json::from_slice(&response.body).unwrap();
                self.check(schema, &value, path);
            }
            "application/x-ndjson" => {
                for line in response.text().lines() {
                    self.check(schema, &serde_json::from_str(line).unwrap(), path);
                }
            }
            _ => {}
        }
    }

    /// Every field of the component schemas.
    fn fields(&self) -> BTreeSet<String> {
        let mut fields = BTreeSet::new();
        for (name, schema) in self.root["components"]["schemas"].as_object().unwrap() {
            for field in schema["properties"].as_object().into_iter().flatten().map(|(field, _)| field) {
                fields.insert(format!("{name}.{field}"));
            }
        }
        fields
    }
}

/// A gateway in which everything that is documented can be seen.
async fn eventful() -> Gateway {
    let gateway = gateway_with(|config| {
        config.status = std::sync::Arc::new(|| {
            json!({"version": "9", "calls": {"held": {"calls": 1, "failures": 0, "median_micros": 1, "most_micros": 1, "slowest_micros": 1}}})
        });
        config.connect = vec![("Linux".into(), "mount".into()), (String::new(), "(remark)".into())];
        config.connections = std::sync::Arc::new(|| {
            json!([{"peer": "a", "local": "b", "kind": "linux", "why": "c", "principal": "d", "protocol": "e", "mounted": ["f"],
                "since": "2026-01-01T00:00:00Z", "calls": 1, "held": 0, "received": 2, "sent": 3}])
        });
    })
    .await;
    gateway.backend.add_file(LINUX, "auto", &["d", "refused"], "r");
    gateway.backend.add_file(LINUX, "auto", &["d", "collected"], "c");
    gateway.backend.add_directory(LINUX, "auto", &["never"]);
    gateway.backend.deny(LINUX, "auto", &["d", "refused"]);
    gateway.backend.add_file(LINUX, "auto", &["d", "on its way"], "w");
    gateway.backend.add_entry(
        LINUX,
        "auto",
        &["d", "bad\u{fffd}"],
        vfs::testing::FakeEntry { unfetchable: true, size: 3, ..vfs::testing::FakeEntry::new(vfs::FileType::Regular) },
    );
    gateway
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Response {
    ask(gateway, "POST", path, &[], body.to_string().as_bytes()).await
}

#[tokio::test]
async fn answers_have_exactly_the_fields_of_the_document() {
    let gateway = eventful().await;
    let mut document = Document::read();
    let directory = "/{directory}/";
    let get = |path: &'static str| {
        let gateway = &gateway;
        async move { ask(gateway, "GET", path, &[("Accept", "application/json")], b"").await }
    };

    let refreshed = post(&gateway, "/-/api/v1/refresh", &json!({"path": linux("d"), "depth": 0})).await;
    document.answer("post", "/-/api/v1/refresh", &refreshed);
    for name in ["collected", "refused"] {
        let collected = post(&gateway, "/-/api/v1/collect", &json!({"path": linux(&format!("d/{name}"))})).await;
        document.answer("post", "/-/api/v1/collect", &collected);
    }
    document.answer("post", "/-/api/v1/collect", &post(&gateway, "/-/api/v1/collect", &json!({"path": "/none"})).await);
    document.answer(
        "post",
        "/-/api/v1/price",
        &post(&gateway, "/-/api/v1/price", &json!({"path": linux("d"), "filter": ""})).await,
    );

    // Its hash is worked out once all of it was read.
    assert_eq!(ask(&gateway, "GET", &linux("d/collected"), &[], b"").await.status, 200);
    // A refresh that fails leaves its mark on a good listing; one that was never listed leaves only that.
    gateway.backend.deny(LINUX, "auto", &["d"]);
    post(&gateway, "/-/api/v1/refresh", &json!({"path": linux("d")})).await;
    gateway.backend.hold_jobs();
    let mut under_way = Client::connect(gateway.address).await;
    let wish = json!({"path": linux("d/on its way")}).to_string();
    under_way.write("POST", "/-/api/v1/collect", &[], wish.as_bytes()).await;
    let hashed = |text: &str| text.contains("sha256_gateway\":\"") && text.contains("under_way");
    let listing = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let listing = ask(&gateway, "GET", &linux("d/?json"), &[], b"").await;
            if hashed(listing.text()) {
                break listing;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    let listing = listing.await.expect("a listing with a hash and a file on its way");
    document.answer("get", directory, &listing);
    assert!(listing.text().contains("\"failed_since\":{"), "{}", listing.text());
    document.answer("get", directory, &ask(&gateway, "GET", &linux("d/?tar"), &[], b"").await);
    document.answer("get", directory, &ask(&gateway, "GET", &linux("d/?zip"), &[], b"").await);

    document.answer("get", "/-/api/v1/activity", &get("/-/api/v1/activity").await);
    document.answer("get", "/-/activity", &get("/-/activity").await);
    for path in ["status", "clients", "connections"] {
        let path = format!("/-/api/v1/{path}");
        document.answer("get", &path, &ask(&gateway, "GET", &path, &[], b"").await);
    }
    for path in ["/-/connect", "/-/health"] {
        document.answer("get", path, &get(path).await);
    }
    for path in
        ["/-/style.css", "/-/view.js", "/-/icon.svg", "/-/metrics", "/-/connect/windows.reg", "/-/connect/windows.ps1"]
    {
        document.answer("get", path, &get(path).await);
    }
    let provenance = ask(
        &gateway,
        "GET",
        &format!("/-/api/v1/provenance?path={}", linux("d/collected").replace('/', "%2F")),
        &[],
        b"",
    )
    .await;
    document.answer("get", "/-/api/v1/provenance", &provenance);
    document.answer("post", "/-/api/v1/cancel", &post(&gateway, "/-/api/v1/cancel", &json!({"job": "F.none"})).await);
    let job = serde_json::from_slice::<Value>(&get("/-/activity").await.body).unwrap();
    let job = job.as_array().unwrap().iter().find(|work| work["ended"].is_null()).unwrap()["job"].clone();
    events(&gateway, &mut document).await;
    let cancelled = post(&gateway, "/-/api/v1/cancel", &json!({ "job": job })).await;
    assert_eq!(cancelled.status, 200);
    document.answer("post", "/-/api/v1/cancel", &cancelled);
    let pressed = ask(&gateway, "POST", &linux("d/?refresh"), &[], b"").await;
    document.answer("post", directory, &pressed);

    // Needs an endpoint that reports how far it is, which that in memory does not.
    let elsewhere = ["Progress.rows", "Progress.bytes", "Content.changed_since"];
    let missing: Vec<_> = document
        .fields()
        .into_iter()
        .filter(|field| !document.seen.contains(field) && !elsewhere.contains(&field.as_str()))
        .collect();
    assert!(missing.is_empty(), "documented, but no answer has it: {missing:?}");
}

/// What pages hear.
async fn events(gateway: &Gateway, document: &mut Document) {
    let mut heard = String::new();
    for path in ["d/", "never/"] {
        let mut listener = Client::connect(gateway.address).await;
        if path == "never/" {
            ask(gateway, "GET", &linux(path), &[("User-Agent", BROWSER), ("Accept", "text/html")], b"").await;
        }
        listener.write("GET", &format!("/-/api/v1/events?path={}", linux(path)), &[], b"").await;
        let head = listener.read_head().await.unwrap();
        assert_eq!(head.status, 200, "{path}");
        document.answer("get", "/-/api/v1/events", &head);
        let before = heard.len();
        while !heard[before..].contains("event: ") {
            heard.push_str(std::str::from_utf8(&listener.read_chunk().await.unwrap()).unwrap());
        }
    }
    let mut kinds = BTreeSet::new();
    for event in heard.split("\n\n").filter(|event| event.starts_with("event: ")) {
        let (kind, data) = event["event: ".len()..].split_once("\ndata: ").unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        let schema = |name: &str| document.root["components"]["schemas"][name].clone();
        match kind {
            "rows" => {
                let schema = schema("RowState");
                data.as_array().unwrap().iter().for_each(|row| document.check(&schema, row, "RowState"));
            }
            "sofar" => {
                let schema = schema("SoFar");
                document.check(&schema, &data, "SoFar");
            }
            other => assert_eq!(other, "page"),
        }
        kinds.insert(kind.to_owned());
    }
    assert!(kinds.contains("rows") && kinds.contains("sofar"), "{heard}");
}

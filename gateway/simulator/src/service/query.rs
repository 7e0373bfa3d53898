//! `Query`: log lines and rows interleaved; errors are log lines and the stream ends OK (§6.5).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use velociraptor_proto::proto::{VqlCollectorArgs, VqlRequest, VqlResponse};

use crate::server::refusal;
use crate::service::api::Streamed;
use crate::service::{Caller, Service};
use crate::vql::Row;
use crate::vql::evaluate::Context;
use crate::vql::parser::{Select, parse};
use crate::vql::plugins;

/// `max_wait: 0` means so many seconds.
const DEFAULT_WAIT: u64 = 10;

/// The reader of the stream has gone.
struct Gone;

impl Service {
    pub(super) fn run_query(
        &self,
        caller: &Caller,
        request: VqlCollectorArgs,
    ) -> Result<Streamed<VqlResponse>, Status> {
        caller.must(caller.permissions.any_query, "User is not allowed to run queries.")?;
        if !matches!(request.org_id.as_str(), "" | "root") {
            return Err(refusal::unavailable("Org not found"));
        }
        let context = Context {
            deployment: Arc::clone(&self.deployment),
            principal: caller.name.clone(),
            permissions: caller.permissions,
            environment: request.env.iter().map(|item| (item.key.clone(), item.value.clone())).collect(),
            log: Vec::new(),
        };
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut stream = Stream { context, sender, request, query_id: 0 };
            // The reader has gone: nobody is left to be told.
            let _ = stream.run().await;
        });
        Ok(Box::pin(ReceiverStream::new(receiver)))
    }
}

struct Stream {
    context: Context,
    sender: mpsc::Sender<Result<VqlResponse, Status>>,
    request: VqlCollectorArgs,
    query_id: u64,
}

impl Stream {
    async fn run(&mut self) -> Result<(), Gone> {
        self.log("Starting query execution.\n".to_string()).await?;
        for query in std::mem::take(&mut self.request.query) {
            let statements = match parse(&query.vql) {
                Ok(statements) => statements,
                Err(error) => {
                    self.log(format!("VQL Error: {error}.\n")).await?;
                    continue;
                }
            };
            for select in statements {
                if select.plugin == "watch_monitoring" {
                    self.watch(&query, &select).await?;
                } else {
                    self.select(&query, &select).await?;
                }
                self.query_id += 1;
            }
        }
        Ok(())
    }

    async fn select(&mut self, query: &VqlRequest, select: &Select) -> Result<(), Gone> {
        let arguments = self.context.arguments(&select.arguments, &Row::default());
        let rows = match plugins::plugin(&mut self.context, &select.plugin, &arguments) {
            Ok(rows) => rows,
            Err(line) => {
                self.flush_log().await?;
                return self.log(line).await;
            }
        };
        let batch_size = match self.request.max_row {
            0 => 10_000,
            rows => usize::try_from(rows).unwrap_or(usize::MAX),
        };
        let limit = select.limit.unwrap_or(usize::MAX);
        let mut batch = Vec::new();
        let (mut sent, mut part) = (0, 0);
        for row in &rows {
            if sent >= limit {
                break;
            }
            if let Some(row) = self.context.project(select, row) {
                batch.push(row);
                sent += 1;
            }
            if batch.len() >= batch_size {
                self.data(query, std::mem::take(&mut batch), part).await?;
                part += 1;
            }
        }
        self.flush_log().await?;
        if batch.is_empty() { Ok(()) } else { self.data(query, batch, part).await }
    }

    /// An event query: rows leave when the batch is full or on the tick of `max_wait`.
    async fn watch(&mut self, query: &VqlRequest, select: &Select) -> Result<(), Gone> {
        let arguments = self.context.arguments(&select.arguments, &Row::default());
        let artifact = arguments.iter().find(|(name, _)| name == "artifact").map(|(_, value)| value.clone());
        let artifact = artifact.as_ref().and_then(serde_json::Value::as_str).unwrap_or_default().to_string();
        if !self.context.permissions.read_results {
            return self.log("watch_monitoring: Permission denied: [READ_RESULTS]\n".to_string()).await;
        }
        let mut events = self.context.deployment.events.subscribe();
        let mut streams = self.context.deployment.streams.subscribe();
        let wait = if self.request.max_wait == 0 { DEFAULT_WAIT } else { self.request.max_wait };
        let mut tick = tokio::time::interval(Duration::from_secs(wait));
        let mut batch = Vec::new();
        let mut part = 0;
        let sender = self.sender.clone();
        loop {
            tokio::select! {
                event = events.recv() => {
                    let Ok(event) = event else {
                        return Ok(());
                    };
                    if event.queue != artifact {
                        continue;
                    }
                    let members: serde_json::Map<String, serde_json::Value> =
                        serde_json::from_str(&event.json).unwrap_or_default();
                    let order = ["Timestamp", "Flow", "FlowId", "ClientId", "_ts", "_Source"];
                    let row = Row(order
                        .iter()
                        .filter_map(|name| members.get(*name).map(|value| ((*name).to_string(), value.clone())))
                        .collect());
                    if let Some(row) = self.context.project(select, &row) {
                        batch.push(row);
                    }
                }
                _ = tick.tick() => {
                    if !batch.is_empty() {
                        self.data(query, std::mem::take(&mut batch), part).await?;
                        part += 1;
                    }
                }
                _ = streams.changed() => return Ok(()),
                () = sender.closed() => return Err(Gone),
            }
        }
    }

    async fn flush_log(&mut self) -> Result<(), Gone> {
        for line in std::mem::take(&mut self.context.log) {
            self.log(line).await?;
        }
        Ok(())
    }

    async fn log(&mut self, log: String) -> Result<(), Gone> {
        let timestamp = self.context.deployment.clock.micros();
        self.send(VqlResponse { timestamp, log, ..VqlResponse::default() }).await
    }

    async fn data(&mut self, query: &VqlRequest, rows: Vec<Row>, part: u64) -> Result<(), Gone> {
        self.flush_log().await?;
        let response = serde_json::to_string(&rows).unwrap_or_default();
        let name = if query.name.is_empty() { "Query" } else { &query.name };
        let line =
            format!("Time 0: {name}: Sending response part {part} {} B ({} rows).\n", response.len(), rows.len());
        self.log(line).await?;
        let columns = rows.first().map(|row| row.0.iter().map(|(name, _)| name.clone()).collect()).unwrap_or_default();
        self.send(VqlResponse {
            response,
            columns,
            query: Some(query.clone()),
            query_id: self.query_id,
            part,
            timestamp: self.context.deployment.clock.micros(),
            ..VqlResponse::default()
        })
        .await
    }

    async fn send(&mut self, message: VqlResponse) -> Result<(), Gone> {
        self.sender.send(Ok(message)).await.map_err(|_| Gone)
    }
}

//! How long things take: the protocol's own timers and rates as measured on a v0.77.2 server
//! (`docs/velociraptor-api.md` §4.3, §4.4, §5.5, §7), and presets that make tests quick.

use std::time::Duration;

/// How an endpoint talks to its server (`Client.server_urls`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Long poll: a flow stays RUNNING until the client has it; nothing is lost.
    Https,
    /// Websocket: flows are WAITING at once, one message per token is taken, and a break can lose the rest.
    Wss,
}

/// Timers and rates of one endpoint. Zero durations and absent rates mean "at once".
#[derive(Clone, Debug)]
pub struct Timing {
    /// `https://` or `wss://`.
    pub transport: Transport,
    /// `Client.max_poll`; a receive token comes back every `max_poll / 2`.
    pub max_poll: Duration,
    /// `Client.min_poll`: the pause after each delivery, and the tick of the result sender.
    pub min_poll: Duration,
    /// Receive tokens of a full bucket.
    pub burst: u32,
    /// Tokens in the bucket when the endpoint starts.
    pub tokens_at_start: u32,
    /// What a call that starts a flow costs on the server.
    pub start_cost: Duration,
    /// The fixed delay of the stock listing artifact.
    pub list_delay: Duration,
    /// What the endpoint's own work costs before the first row of any other artifact.
    pub run_cost: Duration,
    /// Rows that an endpoint lists and its server stores in a second.
    pub rows_per_second: Option<u32>,
    /// Bytes that the endpoint reads into its buffer in a second.
    pub read_rate: Option<u64>,
    /// Bytes that leave quickly before the buffer is full.
    pub upload_burst: u64,
    /// Bytes a second while the burst lasts.
    pub upload_fast: Option<u64>,
    /// Bytes a second afterwards.
    pub upload_slow: Option<u64>,
    /// Interval of progress reports of a running flow.
    pub progress: Duration,
    /// From FINISHED to the directory's record, for each directory of the flow.
    pub record_cost: Duration,
    /// After this silence the server asks about a lost flow …
    pub lost_after: Duration,
    /// … and within this much more it has its answer.
    pub lost_spread: Duration,
    /// Websocket: the server pings after this time without a delivery.
    pub ping_after: Duration,
    /// Websocket: the client's write deadline after a ping.
    pub write_deadline: Duration,
    /// Share of flows that lose lines of their log (§4.8).
    pub lost_log_share: f64,
    /// A delivered flow that has been silent for this long reads UNRESPONSIVE.
    pub unresponsive_after: Duration,
}

impl Timing {
    /// What a default v0.77.2 client on `https://` does.
    #[must_use]
    pub fn measured() -> Self {
        Self {
            transport: Transport::Https,
            max_poll: Duration::from_secs(60),
            min_poll: Duration::from_secs(1),
            burst: 10,
            tokens_at_start: 10,
            start_cost: Duration::from_millis(18),
            list_delay: Duration::from_millis(500),
            run_cost: Duration::from_millis(5),
            rows_per_second: Some(10_000),
            read_rate: Some(100_000_000),
            upload_burst: 55_000_000,
            upload_fast: Some(27_000_000),
            upload_slow: Some(5_600_000),
            progress: Duration::from_secs(5),
            record_cost: Duration::from_micros(600),
            lost_after: Duration::from_secs(60),
            lost_spread: Duration::from_secs(90),
            ping_after: Duration::from_secs(60),
            write_deadline: Duration::from_secs(66),
            lost_log_share: 0.27,
            unresponsive_after: Duration::from_secs(300),
        }
    }

    /// As measured, with the client's `max_poll: 2`: plenty of tokens. The demo's preset.
    #[must_use]
    pub fn brisk() -> Self {
        Self { max_poll: Duration::from_secs(2), ..Self::measured() }
    }

    /// Everything as quick as the machine can: for tests.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            transport: Transport::Https,
            max_poll: Duration::ZERO,
            min_poll: Duration::ZERO,
            start_cost: Duration::ZERO,
            list_delay: Duration::ZERO,
            run_cost: Duration::ZERO,
            rows_per_second: None,
            read_rate: None,
            upload_fast: None,
            upload_slow: None,
            record_cost: Duration::ZERO,
            lost_log_share: 0.0,
            lost_after: Duration::from_millis(100),
            lost_spread: Duration::from_millis(100),
            ..Self::measured()
        }
    }

    /// The same on a websocket.
    #[must_use]
    pub fn on_websocket(mut self) -> Self {
        self.transport = Transport::Wss;
        self
    }

    /// How often a receive token comes back.
    #[must_use]
    pub fn refill(&self) -> Duration {
        self.max_poll / 2
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::measured()
    }
}

//! How tasks reach an endpoint: by long poll, or over a websocket that can lose them (§7, §7.3).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::endpoint::bucket::Bucket;
use crate::endpoint::{Endpoint, run};
use crate::seeded::{self, Random};
use crate::server::clients::Task;

/// Share of broken websockets that lose a backlog of parallel flows, as measured: three of five rounds.
const BACKLOG_LOSS: f64 = 0.6;
/// Share of polls past the write deadline that break a websocket with a single flow on its way: two of 28.
const SINGLE_BREAK: f64 = 0.07;

/// The receive loop over `https://`: a token, a long poll, all queued tasks at once, then a pause of `min_poll`.
pub(super) async fn long_poll(endpoint: Arc<Endpoint>) {
    let timing = endpoint.timing.clone();
    let mut bucket = Bucket::new(timing.burst, timing.tokens_at_start, timing.refill());
    let mut random = Random::new(seeded::hash(endpoint.seed, b"long poll"));
    let Some(wake) = wake_of(&endpoint) else {
        return;
    };
    loop {
        endpoint.reachable().await;
        bucket.take().await;
        endpoint.reachable().await;
        set_connected(&endpoint, true);
        // The server ends an idle poll after max_poll and up to half as much again.
        let idle = if timing.max_poll.is_zero() {
            Duration::from_secs(3600)
        } else {
            timing.max_poll + timing.max_poll.mul_f64(0.005) * u32::try_from(random.below(100)).unwrap_or(0)
        };
        let poll_ends = Instant::now() + idle;
        let mut online = endpoint.online.clone();
        let tasks = loop {
            if !*online.borrow_and_update() || is_away(&endpoint) {
                break Vec::new();
            }
            let tasks = endpoint.deployment.deliver(&endpoint.client_id);
            if !tasks.is_empty() {
                break tasks;
            }
            tokio::select! {
                () = wake.notified() => {}
                _ = online.changed() => {}
                () = tokio::time::sleep_until(poll_ends) => break Vec::new(),
            }
        };
        set_connected(&endpoint, false);
        for task in tasks {
            tokio::spawn(run::run(Arc::clone(&endpoint), task));
        }
        tokio::time::sleep(timing.min_poll).await;
    }
}

/// Messages that the server has written to the socket and the client has not read.
struct Socket {
    unread: VecDeque<Vec<Task>>,
    /// When the client's write deadline was last renewed: by connecting or by a ping of the server.
    renewed: Instant,
    last_write: Instant,
}

impl Socket {
    /// The server pings only after `ping_after` without a delivery.
    fn note_pings(&mut self, now: Instant, ping_after: Duration) {
        let quiet = now.duration_since(self.last_write);
        if quiet >= ping_after && !ping_after.is_zero() {
            let pings = quiet.as_secs() / ping_after.as_secs().max(1);
            self.renewed = self.last_write + ping_after * u32::try_from(pings).unwrap_or(1);
        }
    }
}

/// The loops over `wss://`: the server writes tasks at once and forgets them; the client takes one message per token.
pub(super) async fn websocket(endpoint: Arc<Endpoint>) {
    let now = Instant::now();
    let socket = Arc::new(Mutex::new(Socket { unread: VecDeque::new(), renewed: now, last_write: now }));
    let arrived = Arc::new(Notify::new());
    let writer = write_tasks(Arc::clone(&endpoint), Arc::clone(&socket), Arc::clone(&arrived));
    let reader = read_tasks(endpoint, socket, arrived);
    tokio::join!(writer, reader);
}

async fn write_tasks(endpoint: Arc<Endpoint>, socket: Arc<Mutex<Socket>>, arrived: Arc<Notify>) {
    let Some(wake) = wake_of(&endpoint) else {
        return;
    };
    loop {
        endpoint.reachable().await;
        let tasks = endpoint.deployment.deliver(&endpoint.client_id);
        if tasks.is_empty() {
            let mut online = endpoint.online.clone();
            online.borrow_and_update();
            tokio::select! {
                () = wake.notified() => {}
                _ = online.changed() => {}
            }
            continue;
        }
        {
            let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            socket.note_pings(now, endpoint.timing.ping_after);
            socket.last_write = now;
            socket.unread.push_back(tasks);
        }
        arrived.notify_one();
        tokio::time::sleep(endpoint.timing.min_poll).await;
    }
}

async fn read_tasks(endpoint: Arc<Endpoint>, socket: Arc<Mutex<Socket>>, arrived: Arc<Notify>) {
    let timing = endpoint.timing.clone();
    let mut bucket = Bucket::new(timing.burst, timing.tokens_at_start, timing.refill());
    let mut random = Random::new(seeded::hash(endpoint.seed, b"websocket"));
    loop {
        endpoint.reachable().await;
        bucket.take().await;
        endpoint.reachable().await;
        let lost = {
            let mut socket = socket.lock().unwrap_or_else(PoisonError::into_inner);
            break_if_overdue(&mut socket, &endpoint, &mut random)
        };
        for task in lost {
            tokio::spawn(run::lose(Arc::clone(&endpoint), task));
        }
        let tasks = loop {
            let message = socket.lock().unwrap_or_else(PoisonError::into_inner).unread.pop_front();
            match message {
                Some(tasks) => break tasks,
                None => arrived.notified().await,
            }
        };
        for task in tasks {
            tokio::spawn(run::run(Arc::clone(&endpoint), task));
        }
        tokio::time::sleep(timing.min_poll).await;
    }
}

/// Past its write deadline a client's next request may fail: it connects anew, what it had not read is gone, and an
/// update of its event table takes the next token.
fn break_if_overdue(socket: &mut Socket, endpoint: &Endpoint, random: &mut Random) -> Vec<Task> {
    let now = Instant::now();
    socket.note_pings(now, endpoint.timing.ping_after);
    if now.duration_since(socket.renewed) <= endpoint.timing.write_deadline {
        return Vec::new();
    }
    let waiting: usize = socket.unread.iter().map(Vec::len).sum();
    let lost = match waiting {
        0 => Vec::new(),
        1 if random.chance(SINGLE_BREAK) => Vec::new(),
        1 => return Vec::new(),
        _ if random.chance(BACKLOG_LOSS) => socket.unread.drain(..).flatten().collect(),
        _ => return Vec::new(),
    };
    socket.renewed = now;
    if waiting > 0 {
        socket.unread.push_front(Vec::new());
    }
    lost
}

fn wake_of(endpoint: &Endpoint) -> Option<Arc<Notify>> {
    endpoint.deployment.lock().clients.get(&endpoint.client_id).map(|client| Arc::clone(&client.wake))
}

fn is_away(endpoint: &Endpoint) -> bool {
    let now = endpoint.deployment.clock.micros();
    endpoint.deployment.lock().clients.get(&endpoint.client_id).is_some_and(|client| now < client.away_until)
}

fn set_connected(endpoint: &Endpoint, connected: bool) {
    let now = endpoint.deployment.clock.micros();
    if let Some(client) = endpoint.deployment.lock().clients.get_mut(&endpoint.client_id) {
        client.connected = connected;
        client.last_seen = now;
    }
}

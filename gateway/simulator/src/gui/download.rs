//! `DownloadVFSFile`: bytes of the file store, with its traps (`docs/velociraptor-api.md` §10).

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use tonic::Code;

use super::json::parameters;
use super::{Answer, Gui, closing, plain};

/// A longer range is announced, and ends, at this length; the server then closes the connection.
const LONGEST: u64 = 1 << 20;
/// The simulator does not keep more of a file in memory.
const MAX_WHOLE: u64 = 256 << 20;
/// With the switch, reads end at multiples of this.
const SHORT_BLOCK: u64 = 64 << 10;

impl Gui {
    pub(super) async fn download(&self, user: &str, query: &str) -> Answer {
        self.service.deployment.counters.call("DownloadVFSFile");
        let Ok(parameters) = parameters(query) else {
            return plain(StatusCode::BAD_REQUEST, "Error");
        };
        let all = |name: &str| -> Vec<String> {
            parameters.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
        };
        let number = |name: &str| all(name).first().map_or(Ok(0), |text| text.parse::<u64>());
        let (Ok(offset), Ok(asked)) = (number("offset"), number("length")) else {
            return plain(StatusCode::BAD_REQUEST, "Error");
        };
        let padding = all("padding").first().is_some_and(|text| text == "true");
        tracing::trace!(user, offset, asked, "a range is downloaded");
        let reader = match self.service.open_object("", &all("fs_components")) {
            Ok(Some(reader)) => reader,
            // A directory.
            Ok(None) => return closing(plain(StatusCode::INTERNAL_SERVER_ERROR, "Error")),
            Err(status) if status.code() == Code::PermissionDenied => return plain(StatusCode::FORBIDDEN, "Error"),
            Err(_) => return plain(StatusCode::NOT_FOUND, "Error"),
        };
        let short = self.service.deployment.faults.lock().short_reads;
        let mut length = if asked == 0 { MAX_WHOLE } else { asked.min(LONGEST) };
        if short {
            length = length.min(SHORT_BLOCK - offset % SHORT_BLOCK);
        }
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let read = tokio::task::spawn_blocking(move || reader.read(offset, length, padding, short)).await;
        let Ok(Ok(bytes)) = read else {
            return plain(StatusCode::INTERNAL_SERVER_ERROR, "Error");
        };
        let empty = bytes.is_empty();
        let mut answer = Response::new(Full::new(Bytes::from(bytes)));
        if !empty {
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("binary/octet-stream"));
        }
        if asked > LONGEST { closing(answer) } else { answer }
    }
}

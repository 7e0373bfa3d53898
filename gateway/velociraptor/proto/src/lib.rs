//! The Velociraptor server API on the wire: messages, client and server of `velociraptor.proto`.
//!
//! `generated.rs` and `descriptors.bin` are never edited; `cargo run -p raptorgate-velociraptor-proto --example regenerate`
//! writes them anew, without protoc. TLS is a feature of tonic that the users of this crate choose.

/// The protobuf package `proto`: messages, [`proto::api_client::ApiClient`] and [`proto::api_server::ApiServer`].
#[allow(
    missing_docs,
    clippy::all,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    deprecated,
    rustdoc::all
)]
pub mod proto {
    include!("generated.rs");
}

/// The messages by their names: a `google.protobuf.FileDescriptorSet`, for those who map them to JSON.
pub const DESCRIPTORS: &[u8] = include_bytes!("descriptors.bin");

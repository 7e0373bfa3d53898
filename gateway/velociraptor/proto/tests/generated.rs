//! The committed code is what the generator makes of the committed `.proto` file.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

#[test]
fn committed_descriptors_equal_what_the_proto_file_generates() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut compiler = protox::Compiler::new([room]).unwrap();
    let fresh = compiler.open_file("velociraptor.proto").unwrap().include_imports(true).file_descriptor_set();
    let fresh = prost::Message::encode_to_vec(&fresh);
    assert!(
        fresh == raptorgate_velociraptor_proto::DESCRIPTORS,
        "run `cargo run -p raptorgate-velociraptor-proto --example regenerate`"
    );
}

#[test]
fn committed_code_equals_what_the_proto_file_generates() {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let descriptors = protox::compile(["velociraptor.proto"], [room]).unwrap();
    let build = tonic_prost_build::configure().bytes(".proto.VFSFileBuffer.data");
    build.out_dir(folder.path()).compile_fds(descriptors).unwrap();
    let fresh = std::fs::read_to_string(folder.path().join("proto.rs")).unwrap();
    let committed = std::fs::read_to_string(room.join("src/generated.rs")).unwrap();
    assert!(fresh == committed, "run `cargo run -p raptorgate-velociraptor-proto --example regenerate`");
}

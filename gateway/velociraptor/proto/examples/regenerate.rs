//! Writes `src/generated.rs` (or the file named as first argument) from `velociraptor.proto`, and `descriptors.bin` beside it.

use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let room = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target = std::env::args_os().nth(1).map_or_else(|| room.join("src/generated.rs"), PathBuf::from);
    let descriptors =
        protox::Compiler::new([room])?.open_file("velociraptor.proto")?.include_imports(true).file_descriptor_set();
    std::fs::write(target.with_file_name("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    let descriptors = protox::compile(["velociraptor.proto"], [room])?;
    let folder = target.with_extension("generating");
    std::fs::create_dir_all(&folder)?;
    // Contents are passed on as they lie in the answer, without a copy.
    let build = tonic_prost_build::configure().bytes(".proto.VFSFileBuffer.data");
    build.out_dir(&folder).compile_fds(descriptors)?;
    std::fs::rename(folder.join("proto.rs"), &target)?;
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}

//! The files of the project, wherever it was checked out.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const FOREIGN: [&str; 2] = ["target", ".git"];

/// A file of the project.
pub struct File {
    /// Its path from the root of the project, with `/`.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// The root of the project.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file of the project.
pub fn text_files() -> Vec<File> {
    let mut files = Vec::new();
    collect(&root(), &root(), &mut files);
    assert!(files.len() > 20, "only {} files found below {}", files.len(), root().display());
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Every Rust file of the project, generated code included.
pub fn rust_files() -> Vec<File> {
    text_files().into_iter().filter(|file| file.path.ends_with(".rs")).collect()
}

/// Generated code: never edited, never measured.
pub fn is_generated(file: &File) -> bool {
    file.path.starts_with("gateway/velociraptor/proto/src/generated")
}

fn collect(root: &Path, folder: &Path, files: &mut Vec<File>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = entry.path();
        let name = entry.file_name();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            if !FOREIGN.iter().any(|foreign| name == *foreign) {
                collect(root, &path, files);
            }
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let path = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            files.push(File { path, text });
        }
    }
}

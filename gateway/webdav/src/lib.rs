//! Room `webdav`.

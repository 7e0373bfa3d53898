//! Room `velociraptor/proto`.

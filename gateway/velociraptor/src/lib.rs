//! Room `velociraptor`.

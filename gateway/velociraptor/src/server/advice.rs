//! What to do when the gRPC API does not answer as it should (docs/velociraptor-api.md §1.2 to §1.8).

use super::CallError;

/// What to do about the first call's failure.
pub(super) fn advice(address: &str, error: &CallError) -> String {
    match error {
        // The certificate is good, but nobody's.
        CallError::NotFound => "the server does not know our user: the certificate alone is not enough; on the server, run \
             `velociraptor --config server.config.yaml config api_client --name NAME --role investigator,api FILE` as the user \
             that owns the datastore, and wait 5 minutes or restart the server"
            .into(),
        error => connection_problem(address, error),
    }
}

/// The transport's words, in words that say what to do.
fn connection_problem(address: &str, error: &CallError) -> String {
    let text = error.to_string();
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|words| lower.contains(words));
    if says(&["unknownissuer", "unknown issuer", "badsignature", "invalid peer certificate: other"]) {
        return format!(
            "the server at {address} has a certificate of another CA than ca_certificate: is this the api_client.yaml of this \
             server, and is the port that of the API (8001), not of the frontend or the GUI?"
        );
    }
    if says(&["notvalidforname", "not valid for name"]) {
        return format!(
            "the server at {address} has another name than VelociraptorServer in its certificate: is the port that of the API \
             (8001)? If the deployment has its own server name, add `pinned_server_name: NAME` to the file"
        );
    }
    if says(&["expired"]) {
        return format!(
            "a certificate has expired (the server's at {address}, or ours: API certificates last a year): write the file again \
             with `velociraptor config api_client`, or check this machine's clock"
        );
    }
    if says(&["notvalidyet"]) {
        return "the server's certificate is not valid yet: check this machine's clock".into();
    }
    if says(&[
        "certificaterequired",
        "badcertificate",
        "unknownca",
        "certificateunknown",
        "fatal alert",
        "decrypterror",
    ]) {
        return format!("the server at {address} does not accept our certificate: write the file again on this server");
    }
    if says(&["connection refused"]) {
        return format!(
            "nothing listens at {address}: is the server running, and does its API listen there (API.bind_address, API.bind_port \
             in server.config.yaml; the default is 127.0.0.1 only)?"
        );
    }
    if says(&["dns", "lookup", "name or service not known", "no such host", "name resolution"]) {
        return format!("the host of {address} has no address: check api_connection_string in the file");
    }
    if says(&["no such file"]) {
        return format!("there is no socket at {address}: is the server running on this machine?");
    }
    if says(&["invalidcontenttype", "corrupt message", "http1", "invalid http", "frame with invalid size"]) {
        return format!("what listens at {address} does not speak TLS and gRPC: is the port that of the API (8001)?");
    }
    match error {
        CallError::TimedOut => format!("the server at {address} does not answer: is a firewall in between?"),
        CallError::Unreachable(words) if says(&["timed out", "timeout", "deadline"]) => {
            format!("the server at {address} does not answer: is a firewall in between? ({words})")
        }
        CallError::Unreachable(words) => format!("the server at {address} cannot be reached: {words}"),
        error => format!("the server at {address} answers strangely: {error}"),
    }
}

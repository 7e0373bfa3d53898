//! Certificates, users, permissions (§1.2, §1.5, §1.7).

use raptorgate_simulator::Permissions;
use tonic::Code;
use velociraptor_proto::proto::health_check_response::ServingStatus;
use velociraptor_proto::proto::{
    ApiFlowRequest, EventRequest, HealthCheckRequest, SearchClientsRequest, VfsListRequest, VqlCollectorArgs,
};

use crate::rig::{LIST, Rig, collection, connect, read_config, try_connect};

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_client_certificate_is_refused() {
    let rig = Rig::start().await;
    // TLS 1.3: the server's refusal may come only after the client thinks that the handshake is done.
    if let Ok(mut api) = try_connect(rig.simulator.api_config(), false).await {
        assert!(api.check(HealthCheckRequest::default()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_deployment_is_refused() {
    let rig = Rig::start().await;
    let other = Rig::start().await;
    let path = rig.state.path().join("mixed.yaml");
    let text = std::fs::read_to_string(other.simulator.api_config()).unwrap();
    let text = text.replace(&other.simulator.address().to_string(), &rig.simulator.address().to_string());
    std::fs::write(&path, text).unwrap();
    assert!(try_connect(&path, true).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_without_a_user_record_is_not_found_everywhere_but_in_check() {
    let rig = Rig::start().await;
    let path = rig.simulator.write_certificate("nobody").unwrap();
    let mut api = connect(&path).await;
    let check = api.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(check.status(), ServingStatus::Serving);
    let refused = api.get_user_ui_traits(()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "Not Found"));
    let refused = api.vfs_stat_directory(VfsListRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_call_needs_its_own_permission() {
    let mut rig = Rig::start().await;
    let reader = rig.simulator.add_api_user("reader", Permissions::reader()).unwrap();
    let mut reader = connect(&reader).await;
    reader.list_clients(SearchClientsRequest::default()).await.unwrap();
    let denied = reader.collect_artifact(collection(&rig.client_id, LIST, &[])).await.unwrap_err();
    assert_eq!((denied.code(), denied.message()), (Code::PermissionDenied, "User is not allowed to launch flows."));
    assert_eq!(reader.cancel_flow(ApiFlowRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(reader.watch_event(EventRequest::default()).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(reader.query(VqlCollectorArgs::default()).await.unwrap_err().code(), Code::PermissionDenied);

    let nothing = rig.simulator.add_api_user("nothing", Permissions::none()).unwrap();
    let mut nothing = connect(&nothing).await;
    nothing.get_user_ui_traits(()).await.unwrap();
    let denied = nothing.list_clients(SearchClientsRequest::default()).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied);

    let traits = rig.api.get_user_ui_traits(()).await.unwrap().into_inner();
    assert_eq!(traits.username, "raptorgate");
    let permissions = traits.interface_traits.unwrap().permissions.unwrap();
    assert!(permissions.read_results && permissions.collect_client && permissions.any_query);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_file_has_the_keys_of_velociraptor_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let rig = Rig::start().await;
    let path = rig.simulator.api_config();
    let values = read_config(path);
    let keys: Vec<&str> = values.keys().map(String::as_str).collect();
    assert_eq!(keys, ["api_connection_string", "ca_certificate", "client_cert", "client_private_key", "name"]);
    assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(rig.simulator.write_certificate("../evil").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_user_is_refused_at_once() {
    let mut rig = Rig::start().await;
    rig.handle.remove_user("raptorgate").unwrap();
    assert_eq!(rig.api.get_user_ui_traits(()).await.unwrap_err().code(), Code::NotFound);
}

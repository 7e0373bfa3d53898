//! Error codes as measured (§1.8): `Unavailable` for application errors, and calls that never fail.

use tonic::Code;
use velociraptor_proto::proto::{
    ApiFlowRequest, GetTableRequest, VfsListRequest, VfsRefreshDirectoryRequest, VfsStatDownloadRequest,
};

use crate::rig::{Rig, collection, fixture};

#[tokio::test(flavor = "multi_thread")]
async fn starting_flows_on_bad_clients_is_refused_as_measured() {
    let mut rig = Rig::start().await;
    for (client_id, code, text) in [
        ("C.0123456789abcdef", Code::NotFound, "Not Found"),
        ("xx", Code::Unavailable, "ClientId is not valid"),
        ("", Code::Unavailable, "ClientId not provided"),
    ] {
        let refresh = VfsRefreshDirectoryRequest {
            client_id: client_id.to_string(),
            vfs_components: vec!["auto".to_string()],
            ..VfsRefreshDirectoryRequest::default()
        };
        let refused = rig.api.vfs_refresh_directory(refresh).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, text));
        let refused = rig.api.collect_artifact(collection(client_id, crate::rig::LIST, &[])).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (code, text));
    }
    let server = collection("server", crate::rig::LIST, &[]);
    assert_eq!(rig.api.collect_artifact(server).await.unwrap_err().code(), Code::PermissionDenied);
    let unknown = rig.api.collect_artifact(collection(&rig.client_id, "No.Such.Artifact", &[])).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.message()), (Code::Unavailable, "Unknown artifact No.Such.Artifact"));
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_flows_are_not_found_but_their_tables_and_cancellation_are_fine() {
    let mut rig = Rig::start().await;
    let flow = ApiFlowRequest {
        client_id: rig.client_id.clone(),
        flow_id: "F.AAAAAAAAAAAAA".to_string(),
        ..ApiFlowRequest::default()
    };
    let refused = rig.api.get_flow_details(flow.clone()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::NotFound, "Not Found"));
    assert_eq!(rig.api.cancel_flow(flow.clone()).await.unwrap().into_inner().flow_id, flow.flow_id);
    let table = rig.typed_table(&flow.flow_id, "log").await;
    assert_eq!(fixture("table_unknown_flow")["responses"][0]["total_rows"], "-1");
    assert_eq!((table.total_rows, table.columns.len()), (-1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vfs_of_unknown_clients_and_directories_is_an_empty_message() {
    let mut rig = Rig::start().await;
    for client_id in [rig.client_id.clone(), "C.0123456789abcdef".to_string(), "nonsense".to_string()] {
        let request = VfsListRequest {
            client_id: client_id.clone(),
            vfs_components: ["auto", "never"].map(String::from).to_vec(),
            ..VfsListRequest::default()
        };
        let empty = velociraptor_proto::proto::VfsListResponse::default();
        assert_eq!(rig.api.vfs_stat_directory(request.clone()).await.unwrap().into_inner(), empty);
        assert_eq!(rig.api.vfs_list_directory(request.clone()).await.unwrap().into_inner(), empty);
        let files = GetTableRequest { client_id, vfs_components: request.vfs_components, ..GetTableRequest::default() };
        let empty = velociraptor_proto::proto::GetTableResponse::default();
        assert_eq!(rig.api.vfs_list_directory_files(files).await.unwrap().into_inner(), empty);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_accessor_or_no_components_start_a_flow_that_ends_without_rows() {
    let mut rig = Rig::start().await;
    for components in [vec!["ntfs".to_string(), "x".to_string()], Vec::new()] {
        let request = VfsRefreshDirectoryRequest {
            client_id: rig.client_id.clone(),
            vfs_components: components,
            ..VfsRefreshDirectoryRequest::default()
        };
        let flow_id = rig.api.vfs_refresh_directory(request).await.unwrap().into_inner().flow_id;
        let flow = rig.wait(&flow_id).await;
        assert_eq!((flow.total_collected_rows, flow.artifacts_with_results.len()), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stat_download_is_dead() {
    let mut rig = Rig::start().await;
    let refused = rig.api.vfs_stat_download(VfsStatDownloadRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

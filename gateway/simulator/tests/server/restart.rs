//! What survives the end of the process: CA, ids, flows, listings, uploads (D42).

use raptorgate_simulator::{Config, EndpointConfig, Simulator, Timing};
use velociraptor_proto::proto::VfsListRequest;
use velociraptor_proto::proto::artifact_collector_context::State;

use crate::rig::{LIST, LISTING, Rig, column, connect, read_config};

async fn again(rig: Rig) -> Rig {
    let Rig { simulator, handle, api, client_id, root, state } = rig;
    drop((handle, api));
    // Dropped, not stopped: as near to a kill as a test in one process comes.
    drop(simulator);
    let mut config = Config::new(state.path());
    config.timing = Timing::instant();
    config.endpoints = vec![EndpointConfig::directory("host1", root.path())];
    let simulator = Simulator::start(config).await.unwrap();
    let api = connect(simulator.api_config()).await;
    assert_eq!(simulator.clients()[0].client_id, client_id);
    Rig { handle: simulator.handle(), simulator, api, client_id, root, state }
}

#[tokio::test(flavor = "multi_thread")]
async fn flows_listings_records_and_uploads_come_back() {
    let mut rig = Rig::with(Timing::instant(), |root| std::fs::write(root.join("file"), b"evidence").unwrap()).await;
    let ca = read_config(rig.simulator.api_config())["ca_certificate"].clone();
    let listing = rig.list(&[]).await;
    let download = rig.download(&["file"]).await;
    std::fs::remove_file(rig.root.path().join("file")).unwrap();

    let mut rig = again(rig).await;
    assert_eq!(read_config(rig.simulator.api_config())["ca_certificate"], ca);
    assert_eq!(rig.details(&listing.session_id).await, listing);
    assert_eq!(column(&rig.table(&listing.session_id, LISTING).await, "Name"), ["file"]);
    let stat = VfsListRequest {
        client_id: rig.client_id.clone(),
        vfs_components: vec!["auto".to_string()],
        ..VfsListRequest::default()
    };
    assert_eq!(rig.api.vfs_stat_directory(stat).await.unwrap().into_inner().flow_id, listing.session_id);
    let path = rig.store_path(&download.session_id, "auto", &["file"]);
    assert_eq!(rig.buffer(path, 0, 100).await.unwrap(), b"evidence");
    let newer = rig.list(&[]).await;
    assert!(newer.session_id > download.session_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_flows_run_after_a_restart_and_delivered_ones_are_lost() {
    let mut rig = Rig::start().await;
    rig.handle.stall_next_flows(1);
    let delivered = rig.start_flow(LIST, &[("Components", "[]")]).await;
    for _ in 0..1000 {
        if rig.details(&delivered).await.state() == State::Waiting {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    rig.handle.set_online(&rig.client_id, false).unwrap();
    let queued = rig.start_flow(LIST, &[("Components", "[]")]).await;

    let mut rig = again(rig).await;
    assert_eq!(rig.wait(&queued).await.state(), State::Finished);
    let lost = rig.wait(&delivered).await;
    assert_eq!((lost.state(), lost.status.as_str()), (State::Error, "Flow not known - maybe the client crashed?"));
}

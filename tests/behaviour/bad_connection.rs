//! Between the Linux client and the gateway is a connection that cuts, delays, duplicates and reorders at every procedure: what is on disk is
//! what is seen, and no call fails.

#[path = "../../gateway/nfs/tests/nfs/proxy.rs"]
#[allow(dead_code)] // the tests of the room use more of it
mod proxy;

use std::net::SocketAddr;

use proxy::{Fault, Proxy};

use crate::support::gateway::Gateway;
use crate::support::ground_truth::{assert_contents_were_read, assert_same, ground_truth, nfs_times, through_nfs};
use crate::support::guest::{self, Link, Release};
use crate::support::skip::skip_if;
use crate::support::tree::{Tree, noise};

const NFS: u32 = 100_003;
/// What the client calls in this test, by number: GETATTR, LOOKUP, ACCESS, READLINK, READ, READDIRPLUS, FSINFO, PATHCONF.
const CALLED: [u32; 8] = [1, 3, 4, 5, 6, 17, 19, 20];
/// What each procedure suffers, one call after another. A cut costs the client seconds until it connects again.
const COURSE: [Option<Fault>; 9] = [
    Some(Fault::CutAfter),
    Some(Fault::DelayReply),
    Some(Fault::DuplicateReply),
    Some(Fault::Reorder),
    Some(Fault::Fragment),
    Some(Fault::DelayCall),
    None,
    Some(Fault::DuplicateCall),
    None,
];

fn sees_the_tree(release: Release) {
    let tree = Tree::small();
    std::os::unix::fs::symlink("../readme.txt", tree.path().join("documents/link")).unwrap();
    for number in 0..30 {
        tree.write(format!("documents/letters/{number}"), &noise(1_000 * number, number as u64));
    }
    let disk = nfs_times(through_nfs(&ground_truth(tree.path(), |_| true)));
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let proxy = Proxy::start(SocketAddr::from(([127, 0, 0, 1], gateway.nfs_port())));
    proxy.set(|(program, _, procedure), before| match usize::try_from(before) {
        // Once in the middle of what is long: a reader must not take half of it.
        Ok(12) if program == NFS && (procedure == 6 || procedure == 17) => Some(Fault::CutWithin),
        Ok(before) if before < COURSE.len() => COURSE[before],
        // From then on everything but cuts, which would take minutes.
        Ok(before) => COURSE[1 + before % (COURSE.len() - 1)],
        Err(_) => None,
    });
    let port = proxy.address().port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", &options)];
    let ran = guest::run(release, &Link::Port(port), "walk.sh", &variables);
    let seen = nfs_times(ran.objects());
    assert_contents_were_read(&disk, &seen);
    assert_same(&disk, &seen);
    assert_same(&disk, &nfs_times(ran.objects_after()));
    let done = proxy.done();
    for procedure in CALLED {
        assert!(done.contains_key(&((NFS, 3, procedure), Fault::CutAfter)), "procedure {procedure} was never called");
    }
    for fault in COURSE.into_iter().flatten() {
        assert!(done.keys().any(|(_, other)| *other == fault), "{fault:?} was never done");
    }
    eprintln!("{} faults in {:?}", done.values().sum::<u64>(), ran.finished.took);
    if let Some(folder) = proxy::corpus() {
        proxy.write_corpus(&folder, if release == Release::Trixie { "linux-6.12" } else { "linux-6.1" }).unwrap();
    }
}

#[test]
fn linux_6_12_sees_what_is_on_disk_through_a_bad_connection() {
    skip_if!(guest::obstacle(Release::Trixie));
    sees_the_tree(Release::Trixie);
}

#[test]
fn linux_6_1_sees_what_is_on_disk_through_a_bad_connection() {
    skip_if!(guest::obstacle(Release::Bookworm));
    sees_the_tree(Release::Bookworm);
}

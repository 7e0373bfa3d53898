//! The hot path of the model: what a cached GETATTR, LOOKUP, READDIRPLUS entry and READ cost before they are encoded.
//!
//! `cargo bench -p raptorgate-vfs --features testing`
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros make undocumented items

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use vfs::testing::{FakeBackend, call, vfs};
use vfs::{Node, Profile, System, Vfs};

const CLIENT: &str = "C.0000000000000001";
const ENTRIES: usize = 10_000;

async fn fixture() -> (Vfs, Node, Node) {
    let backend = FakeBackend::new();
    backend.add_endpoint(CLIENT, System::Linux, true);
    for number in 0..ENTRIES {
        backend.add_file(CLIENT, "auto", &["many", &format!("file-{number:06}.bin")], "");
    }
    backend.add_file(CLIENT, "auto", &["many", "big"], vec![7; 4 << 20]);
    let vfs = vfs(&backend);
    vfs.list(&Node::ROOT, &call()).await.unwrap();
    let directory = vfs.resolve(&[CLIENT, "auto", "many"], false, &call()).await.unwrap().node;
    let file = vfs.lookup(&directory, "big", &call()).await.unwrap().node;
    vfs.read(&file, 0, 4 << 20, &call()).await.unwrap();
    (vfs, directory, file)
}

fn hot(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _guard = runtime.enter();
    let (vfs, directory, file) = runtime.block_on(fixture());
    let call = call();
    let handle = vfs.handle(&file);
    criterion.bench_function("handle: verify", |bencher| bencher.iter(|| vfs.node(&handle).unwrap()));
    criterion
        .bench_function("attributes of a file", |bencher| bencher.iter(|| vfs.attributes_now(&file).unwrap().unwrap()));
    criterion.bench_function("attributes of a directory", |bencher| {
        bencher.iter(|| vfs.attributes_now(&directory).unwrap().unwrap());
    });
    criterion.bench_function("lookup", |bencher| {
        bencher.iter(|| vfs.lookup_now(&directory, "file-007777.bin", &call).unwrap().unwrap());
    });
    criterion.bench_function("read 128 KiB", |bencher| {
        bencher.iter(|| vfs.read_now(&file, 1 << 20, 128 << 10, &call).unwrap().unwrap());
    });
    let mut group = criterion.benchmark_group("listing");
    group.throughput(Throughput::Elements(ENTRIES as u64));
    group.bench_function("name, handle and attributes of each entry", |bencher| {
        bencher.iter(|| {
            let listing = vfs.list_now(&directory, &call).unwrap().unwrap();
            let mut sum = 0;
            for ordinal in 0..listing.len() {
                let (node, attributes) = listing.entry(ordinal).unwrap();
                sum += usize::from(vfs.handle(&node)[63])
                    + attributes.mode as usize
                    + listing.name(ordinal, Profile::Posix).len();
            }
            sum
        });
    });
    group.finish();
}

criterion_group!(benches, hot);
criterion_main!(benches);

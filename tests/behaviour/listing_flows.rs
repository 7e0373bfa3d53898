//! What a look costs the endpoint: an uncached directory starts one flow, a cached one none, and both protocols share one cache.

use std::fs;
use std::thread;

use crate::support::gateway::{Gateway, url_path};
use crate::support::guest::{self, Link, Release, Session};
use crate::support::propfind;
use crate::support::skip::skip_if;
use crate::support::tree::Tree;

#[test]
fn an_uncached_directory_starts_one_flow_and_a_cached_one_none() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let root = url_path(&client, b"") + "/";
    let before = gateway.control().flows();
    propfind::list(&http, &root);
    assert_eq!(gateway.control().flows(), before + 1, "the first look");
    propfind::list(&http, &root);
    assert_eq!(gateway.control().flows(), before + 1, "the second look");
}

#[test]
fn many_who_ask_at_once_share_one_flow() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let root = url_path(&client, b"") + "/";
    let before = gateway.control().flows();
    thread::scope(|scope| {
        let all: Vec<_> = (0..20).map(|_| scope.spawn(|| propfind::list(&http, &root).len())).collect();
        for one in all {
            assert_eq!(one.join().unwrap(), 4);
        }
    });
    assert_eq!(gateway.control().flows(), before + 1);
}

#[test]
fn a_file_is_collected_once() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    propfind::list(&http, &(url_path(&client, b"") + "/"));
    let before = gateway.control().flows();
    for _ in 0..3 {
        assert_eq!(http.get(&url_path(&client, b"readme.txt")).body, b"read me\n");
    }
    assert_eq!(gateway.control().flows(), before + 1);
}

#[test]
fn the_list_of_endpoints_contacts_none() {
    let tree = Tree::small();
    let gateway = Gateway::demo(&[tree.path()]);
    let before = gateway.control().flows();
    propfind::list(&gateway.http(), "/");
    propfind::list(&gateway.http(), "/by-name/");
    propfind::list(&gateway.http(), &format!("/{}/", gateway.endpoint(tree.path()).client_id));
    assert_eq!(gateway.control().flows(), before);
}

#[test]
fn what_one_protocol_lists_is_cached_for_the_other() {
    skip_if!(guest::obstacle(Release::Trixie));
    let tree = Tree::small();
    fs::create_dir_all(tree.path().join("by/nfs/first")).unwrap();
    fs::create_dir_all(tree.path().join("by/webdav/first")).unwrap();
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", options.as_str())];
    let mut guest = Session::start(Release::Trixie, &Link::Port(port), "both.sh", &variables);

    guest.reach("listed by nfs");
    let before = gateway.control().flows();
    propfind::list(&http, &(url_path(&client, b"pictures") + "/"));
    assert_eq!(http.get(&url_path(&client, b"readme.txt")).body, b"read me\n");
    assert_eq!(gateway.control().flows(), before, "listed and collected through NFS, asked for through WebDAV");

    propfind::list(&http, &(url_path(&client, b"documents") + "/"));
    let report = fs::read(tree.path().join("documents/report.txt")).unwrap();
    assert_eq!(http.get(&url_path(&client, b"documents/report.txt")).body, report);
    let before = gateway.control().flows();
    guest.go_on();
    guest.reach("read by nfs");
    assert_eq!(gateway.control().flows(), before, "listed and collected through WebDAV, asked for through NFS");
    guest.go_on();
    guest.end();
}

/// Directories in three levels below `walked`, ten files in each; how many objects there are.
fn wide(tree: &Tree) -> usize {
    let mut objects = 1;
    for number in 0..400 {
        let directory = tree.path().join(format!("walked/{}/{}/{}", number % 4, number % 20, number));
        fs::create_dir_all(&directory).unwrap();
        for file in 0..10 {
            fs::write(directory.join(format!("{file}.txt")), "text\n").unwrap();
        }
        objects += 11;
    }
    objects + 4 + 20
}

#[test]
fn find_over_an_uncached_tree_costs_a_few_flows() {
    skip_if!(guest::obstacle(Release::Trixie));
    let tree = Tree::small();
    let objects = wide(&tree);
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let port = gateway.nfs_port();
    let options = format!("vers=3,tcp,nolock,port={port},mountport={port}");
    let export = format!("/{}/auto", client.client_id);
    let variables = [("EXPORT", export.as_str()), ("OPTIONS", options.as_str())];
    let before = gateway.control().flows();
    let mut guest = Session::start(Release::Trixie, &Link::Port(port), "find.sh", &variables);
    guest.reach(&format!("found {objects} objects"));
    let flows = gateway.control().flows() - before;
    assert!(flows <= 5, "{flows} flows for 425 directories");
    guest.go_on();
    guest.end();
}

#[test]
fn a_program_that_goes_through_the_tree_over_webdav_costs_a_few_flows() {
    let tree = Tree::small();
    let objects = wide(&tree);
    let gateway = Gateway::demo(&[tree.path()]);
    let client = gateway.endpoint(tree.path());
    let http = gateway.http();
    let before = gateway.control().flows();
    let mut directories = vec![url_path(&client, b"walked") + "/"];
    let mut seen = 1;
    while let Some(directory) = directories.pop() {
        for entry in propfind::list(&http, &directory) {
            seen += 1;
            if entry.is_collection {
                directories.push(String::from_utf8(entry.path).unwrap().trim_end_matches('/').to_owned() + "/");
            }
        }
    }
    assert_eq!(seen, objects);
    let flows = gateway.control().flows() - before;
    assert!(flows <= 5, "{flows} flows for 425 directories");
}

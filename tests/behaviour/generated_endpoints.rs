//! The demo's own endpoints: a Windows-like one with drives, raw volumes and a registry, and a Linux-like one.

use crate::support::gateway::{Client, Gateway};
use crate::support::http::{Http, encode};
use crate::support::propfind::{self, Resource};

/// The endpoint of the demo with this accessor (`ntfs` tells Windows), that is there.
fn endpoint(gateway: &Gateway, windows: bool) -> Client {
    let is_windows = |client: &Client| names(&list(&gateway.http(), &[&client.client_id])).contains(&"ntfs".to_owned());
    let mut there = gateway.ready().clients.iter().filter(|client| gateway.believes_online(client));
    there.find(|client| is_windows(client) == windows).expect("the demo has one").clone()
}

fn path(components: &[&str]) -> String {
    components.iter().map(|component| format!("/{}", encode(component.as_bytes()))).collect()
}

#[track_caller]
fn list(http: &Http, components: &[&str]) -> Vec<Resource> {
    propfind::list(http, &(path(components) + "/"))
}

fn names(resources: &[Resource]) -> Vec<String> {
    resources.iter().map(|resource| String::from_utf8(resource.name().to_vec()).unwrap()).collect()
}

#[test]
fn a_windows_endpoint_has_drives_raw_volumes_and_a_registry() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let id = endpoint(&gateway, true).client_id;
    assert_eq!(names(&list(&http, &[&id])), ["auto", "ntfs", "registry", "collected"]);

    let drives = names(&list(&http, &[&id, "auto"]));
    assert!(drives.contains(&"C:".to_owned()), "{drives:?}");
    let volumes = names(&list(&http, &[&id, "ntfs"]));
    assert!(volumes.contains(&"C:".to_owned()), "{volumes:?}");
    assert!(!volumes.iter().any(|name| name.contains('\\')), "drives are shown as C: {volumes:?}");
    assert!(volumes.iter().any(|name| name.starts_with("VSS")), "shadow copies: {volumes:?}");

    let raw = names(&list(&http, &[&id, "ntfs", "C:"]));
    assert!(raw.contains(&"$MFT".to_owned()), "{raw:?}");
    // Any spelling finds the one object; raw names resolve, too (SEMANTICS 1.4, 2.5).
    for spelling in [&[&*id, "ntfs", "c"][..], &[&id, "ntfs", r"\\.\C:"], &[&id, "ntfs", "C:"]] {
        assert_eq!(names(&list(&http, spelling)), raw, "{spelling:?}");
    }
    let users = names(&list(&http, &[&id, "auto", "C:", "Users"]));
    assert_eq!(names(&list(&http, &[&id, "auto", "c:", "USERS"])), users);
    assert!(users.contains(&"alice".to_owned()), "{users:?}");
}

#[test]
fn registry_values_are_read_from_their_listing() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let id = endpoint(&gateway, true).client_id;
    let hives = names(&list(&http, &[&id, "registry"]));
    assert!(hives.contains(&"HKEY_LOCAL_MACHINE".to_owned()), "{hives:?}");
    // Down to the first key that has a value.
    let mut at = vec![id.clone(), "registry".to_owned(), "HKEY_LOCAL_MACHINE".to_owned()];
    let value = loop {
        let components: Vec<&str> = at.iter().map(String::as_str).collect();
        let entries = list(&http, &components);
        if let Some(value) =
            entries.iter().find(|entry| !entry.is_collection && entry.size().is_some_and(|size| size < 4096))
        {
            break value.clone();
        }
        let next = entries.iter().find(|entry| entry.is_collection).unwrap_or_else(|| panic!("no value below {at:?}"));
        at.push(String::from_utf8(next.name().to_vec()).unwrap());
        assert!(at.len() < 12, "{at:?}");
    };
    let before = gateway.control().flows();
    at.push(String::from_utf8(value.name().to_vec()).unwrap());
    let components: Vec<&str> = at.iter().map(String::as_str).collect();
    let content = http.get(&path(&components));
    assert_eq!(content.status, 200, "{at:?}: {}", content.text());
    assert_eq!(Some(content.body.len() as u64), value.size(), "{at:?}");
    assert_eq!(gateway.control().flows(), before, "a value costs no flow");
}

#[test]
fn a_file_too_large_to_be_collected_by_a_look_is_refused_and_says_so() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let id = endpoint(&gateway, true).client_id;
    list(&http, &[&id, "auto", "C:"]);
    let before = gateway.control().flows();
    let response = http.get(&path(&[&id, "auto", "C:", "pagefile.sys"]));
    assert!([403, 413].contains(&response.status), "{}", response.status);
    assert!(response.text().len() > 20, "{}", response.text());
    assert_eq!(gateway.control().flows(), before);
}

#[test]
fn files_that_say_size_0_and_have_content_are_read() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let id = endpoint(&gateway, false).client_id;
    let content = http.get(&path(&[&id, "auto", "proc", "version"]));
    assert_eq!(content.status, 200, "{}", content.text());
    assert!(content.text().contains("Linux"), "{}", content.text());
}

#[test]
fn names_that_were_no_text_are_listed_and_cannot_be_read() {
    let gateway = Gateway::demo(&[]);
    let http = gateway.http();
    let id = endpoint(&gateway, false).client_id;
    let listed = list(&http, &[&id, "auto", "srv", "odd"]);
    let is_no_text = |entry: &Resource| String::from_utf8_lossy(entry.name()).contains('\u{fffd}');
    let found: Vec<Resource> = listed.into_iter().filter(is_no_text).collect();
    assert_eq!(found.len(), 2, "two names that read the same are not merged: {found:?}");
    for entry in found {
        let path: String =
            entry.path.split(|byte| *byte == b'/').skip(1).map(|part| format!("/{}", encode(part))).collect();
        let response = http.get(&path);
        assert_eq!(response.status, 403, "{path}: {}", response.text());
    }
}

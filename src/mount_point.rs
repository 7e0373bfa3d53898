//! PATH arguments: a path of the gateway (`/C.…/auto/etc`), or one below a mount of it, resolved without touching the mount.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// A mount, as `/proc/self/mountinfo` tells it (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// The directory within the file system that is mounted there.
    pub root: String,
    /// Its type: `nfs`, `fuse`, …
    pub kind: String,
    /// What was mounted: `HOST:/export`, or a URL.
    pub source: String,
}

/// What is mounted on this machine, in the order of mounting; nothing where the system does not tell.
pub fn mounts() -> Vec<Mount> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.lines().filter_map(parse).collect()
}

/// Whether it is of a gateway, as far as its source tells.
pub fn is_of_gateway(mount: &Mount) -> bool {
    export(mount).is_some_and(|export| export == "/" || is_gateway_path(&format!("{export}/")))
}

/// The endpoint of which something is mounted there.
pub fn client_id(mount: &Mount) -> Option<String> {
    let export = export(mount)?;
    let mut names = export.split('/').filter(|name| !name.is_empty() && *name != "frozen");
    let first = names.next()?;
    let name = if first == "org" { names.nth(1)? } else { first };
    name.starts_with("C.").then(|| name.to_owned())
}

/// The path on the gateway, as components.
///
/// # Errors
/// If it lies on no mount of a gateway.
pub fn resolve(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = path.to_str().context("the path is no UTF-8 text")?;
    if is_gateway_path(text) {
        return components(text);
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").context(
        "this system does not tell what is mounted where: give the path as the gateway knows it, such as /C.1234/auto/etc",
    )?;
    // Not `canonicalize`: it would ask the endpoint about every component.
    let absolute = std::path::absolute(path)?;
    below_mount(&absolute, &mounts)
}

/// Paths of the gateway begin with a client id or with one of its own directories.
fn is_gateway_path(text: &str) -> bool {
    ["/C.", "/by-name/", "/org/", "/frozen/"].iter().any(|start| text.starts_with(start))
}

fn below_mount(path: &Path, mountinfo: &str) -> anyhow::Result<Vec<String>> {
    let path = lexical(path);
    let mounts = mountinfo.lines().filter_map(parse);
    // The last of several mounts at one place hides the others.
    let mount =
        mounts.filter(|mount| path.starts_with(&mount.point)).max_by_key(|mount| mount.point.components().count());
    let Some(mount) = mount else { bail!("{} is not below a mount", path.display()) };
    let Some(export) = export(&mount) else {
        bail!(
            "{} is on {} ({}), which is no mount of a gateway: give a path below one, or as the gateway knows it, such as \
             /C.1234/auto/etc",
            path.display(),
            mount.point.display(),
            mount.kind
        )
    };
    let rest = path.strip_prefix(&mount.point)?.to_str().context("the path is no UTF-8 text")?;
    components(&format!("{export}/{}/{rest}", mount.root))
}

/// The path on the gateway that was mounted.
fn export(mount: &Mount) -> Option<String> {
    let export = match mount.kind.as_str() {
        "nfs" => mount.source.rsplit_once(":/").map(|(_, export)| format!("/{export}"))?,
        "fuse" | "fuse.davfs" | "davfs" => {
            let rest = mount.source.strip_prefix("http://").or_else(|| mount.source.strip_prefix("https://"))?;
            rest.split_once('/').map_or(Some(String::new()), |(_, path)| percent_decoded(path))?
        }
        _ => return None,
    };
    Some(export)
}

/// `.` and `..` taken away by the text alone.
pub fn lexical(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            std::path::Component::ParentDir => {
                plain.pop();
            }
            std::path::Component::CurDir => {}
            component => plain.push(component),
        }
    }
    plain
}

fn components(path: &str) -> anyhow::Result<Vec<String>> {
    let components: Vec<String> =
        path.split('/').filter(|component| !component.is_empty()).map(str::to_owned).collect();
    if components.iter().any(|component| component == "." || component == "..") {
        bail!("`.` and `..` have no place in a path of the gateway");
    }
    Ok(components)
}

fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    let mut fields = before.split(' ').skip(3);
    let root = unescaped(fields.next()?)?;
    let point = unescaped(fields.next()?)?;
    let mut fields = after.split(' ');
    let kind = fields.next()?.to_owned();
    let source = unescaped(fields.next()?)?;
    Some(Mount { point: point.into(), root, kind, source })
}

/// Blanks and backslashes are written as `\040`.
fn unescaped(field: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<3>()?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = rest.split_first_chunk::<2>()?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
90 22 0:44 / /mnt/desk rw,relatime shared:50 - nfs 127.0.0.1:/C.0123456789abcdef ro,vers=3
91 22 0:45 / /mnt/with\\040blank rw - nfs [::1]:/C.1/auto/C: ro,vers=3
92 22 0:46 / /mnt/dav rw - fuse http://127.0.0.1:8080/C.2/auto/a%20b/ rw,user_id=0
93 22 0:47 / /mnt/other rw - fuse.sshfs host:/dir rw
94 22 0:48 /etc /mnt/bound rw - nfs localhost:/C.3/auto ro
95 22 0:49 / /mnt/whole rw - nfs localhost:/ ro
";

    fn found(path: &str) -> Option<String> {
        below_mount(Path::new(path), MOUNTS).ok().map(|components| components.join("/"))
    }

    #[test]
    fn a_path_below_a_mount_is_the_export_and_the_rest() {
        let cases = [
            ("/mnt/desk", "C.0123456789abcdef"),
            ("/mnt/desk/auto/etc/hosts", "C.0123456789abcdef/auto/etc/hosts"),
            ("/mnt/desk/auto/../auto/./etc", "C.0123456789abcdef/auto/etc"),
            ("/mnt/with blank/Users", "C.1/auto/C:/Users"),
            ("/mnt/dav/x y", "C.2/auto/a b/x y"),
            ("/mnt/bound/hosts", "C.3/auto/etc/hosts"),
            ("/mnt/whole/C.4/auto", "C.4/auto"),
        ];
        for (path, expected) in cases {
            assert_eq!(found(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_path_elsewhere_is_refused_with_the_reason() {
        for path in ["/mnt/other/x", "/etc/hosts", "/mnt/desktop"] {
            assert_eq!(found(path), None, "{path}");
        }
        let error = below_mount(Path::new("/mnt/other/x"), MOUNTS).unwrap_err().to_string();
        assert!(error.contains("/mnt/other") && error.contains("fuse.sshfs"), "{error}");
    }

    #[test]
    fn a_path_of_the_gateway_is_taken_as_it_is() {
        assert_eq!(resolve(Path::new("/C.1//auto/C:/x/")).unwrap(), ["C.1", "auto", "C:", "x"]);
        assert!(resolve(Path::new("/C.1/../C.2")).is_err());
    }

    #[test]
    fn damaged_lines_are_passed_over() {
        for line in ["", " - ", "1 2 3 /\\04 /x - nfs a:/b ro", "1 2 3 / /x - nfs a:/\\9zz ro", "1 2 3 / /x -nfs"] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }
}

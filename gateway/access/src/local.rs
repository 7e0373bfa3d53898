//! The one principal of a gateway on somebody's own machine: the user of the operating system who runs it.

use vfs::Principal;

/// The user who runs this process, by the name in the user database; `uid 1000` for a user without one.
pub fn local_principal() -> Principal {
    let uid = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = name_of(&users, uid).map(str::to_owned);
    // Users of directory services stand in no file; their sessions still carry the name.
    let name = named.or_else(|| std::env::var("USER").ok()).filter(|name| !name.is_empty());
    Principal::new(name.unwrap_or_else(|| format!("uid {uid}")))
}

/// The name of `uid` in the text of a user database (passwd(5)).
fn name_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_database_names_the_user() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\n#comment\n\nmallory:x:zero\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_of(users, 0), Some("root"));
        assert_eq!(name_of(users, 1000), Some("alice"));
        assert_eq!(name_of(users, 7), None);
        assert!(!local_principal().name().is_empty());
    }
}

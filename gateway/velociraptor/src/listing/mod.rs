//! Rows of a flow's table become whole directories (D29): nothing is a listing before it is certain that no row of it is missing.

mod many;
#[cfg(test)]
mod tests;
mod tree;

use vfs::EndpointPath;
use vfs::snapshot::Rows;

pub(crate) use many::Many;
pub(crate) use tree::Tree;

/// A directory of which all rows are here.
#[derive(Debug)]
pub(crate) struct Whole {
    /// Where it is: the asked directory, or parent and name from there on.
    pub(crate) directory: EndpointPath,
    /// Its rows, in the endpoint's order.
    pub(crate) rows: Rows,
    /// Where they begin in the flow's table.
    pub(crate) first_row: u64,
}

/// A listing with more than 4 GiB of names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Overflow;

/// The text of a JSON array of strings up to its last string: two rows with the same text stand in the same directory.
fn parent_text(components: &str) -> &str {
    let mut last = 0;
    let mut inside = false;
    let mut escaped = false;
    for (index, byte) in components.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => {
                inside = !inside;
                if inside {
                    last = index;
                }
            }
            _ => {}
        }
    }
    components.get(..last).unwrap_or_default()
}

#[cfg(test)]
mod parent_tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_parent_is_everything_before_the_last_name() {
        assert_eq!(parent_text(r#"["srv","a\"b\\","x"]"#), r#"["srv","a\"b\\","#);
        assert_eq!(parent_text(r#"["x"]"#), "[");
        assert_eq!(parent_text("[]"), "");
    }

    proptest! {
        #[test]
        fn siblings_have_the_same_parent_and_others_do_not(
            parent in prop::collection::vec("\\PC{0,8}", 0..4),
            other in prop::collection::vec("\\PC{0,8}", 0..4),
            (first, second) in ("\\PC{0,8}", "\\PC{0,8}"),
        ) {
            let text = |parent: &[String], name: &String| {
                serde_json::to_string(&parent.iter().chain([name]).collect::<Vec<_>>()).unwrap()
            };
            let (one, two, three) = (text(&parent, &first), text(&parent, &second), text(&other, &first));
            prop_assert_eq!(parent_text(&one), parent_text(&two));
            prop_assert_eq!(parent_text(&one) == parent_text(&three), parent == other);
        }

        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,60}") {
            parent_text(&text);
        }
    }
}

//! A reader of the pages' HTML that refuses everything that no page of ours has: whatever a name contains, it must not become markup.

/// Elements of the pages.
const ELEMENTS: [&str; 57] = [
    "html",
    "head",
    "meta",
    "link",
    "title",
    "script",
    "noscript",
    "body",
    "a",
    "header",
    "nav",
    "main",
    "h1",
    "h2",
    "h3",
    "p",
    "div",
    "span",
    "section",
    "form",
    "label",
    "select",
    "option",
    "button",
    "input",
    "progress",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "time",
    "i",
    "b",
    "br",
    "bdi",
    "code",
    "pre",
    "details",
    "summary",
    "!doctype",
    "/html",
    "/head",
    "/title",
    "/script",
    "/noscript",
    "/body",
    "/a",
    "/header",
    "/nav",
    "/main",
    "/h1",
    "/h2",
    "/h3",
    "/p",
    "/div",
];
/// Attributes of the pages.
const ATTRIBUTES: [&str; 38] = [
    "lang",
    "charset",
    "name",
    "content",
    "http-equiv",
    "rel",
    "href",
    "src",
    "defer",
    "class",
    "id",
    "data-live",
    "aria-label",
    "aria-current",
    "aria-sort",
    "role",
    "method",
    "action",
    "for",
    "value",
    "type",
    "placeholder",
    "scope",
    "title",
    "accesskey",
    "download",
    "tabindex",
    "autofocus",
    "checked",
    "selected",
    "html",
    "colspan",
    "datetime",
    "hidden",
    "open",
    "multiple",
    "size",
    "max",
];

/// Checks a whole page.
///
/// # Panics
/// If it has an element or an attribute that none of our pages has, or a script that is not ours.
pub fn check(page: &str) {
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "not whole: {page}");
    let mut rest = page;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        let end =
            rest.find(|character: char| !(character.is_ascii_alphanumeric() || "/!".contains(character))).unwrap();
        let name = rest[..end].to_ascii_lowercase();
        let known =
            ELEMENTS.contains(&name.as_str()) || name.strip_prefix('/').is_some_and(|name| ELEMENTS.contains(&name));
        assert!(known, "<{name} in {page}");
        rest = attributes(&rest[end..], &name, page);
    }
    assert_eq!(page.matches("<script").count(), 1);
    assert!(page.contains("<script src=\"/-/view.js\" defer></script>"));
}

/// Goes through the attributes of one element, to what stands behind it.
fn attributes<'a>(mut rest: &'a str, element: &str, page: &str) -> &'a str {
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix('>') {
            return after;
        }
        let end = rest.find(|character: char| !(character.is_ascii_alphanumeric() || character == '-')).unwrap();
        let name = &rest[..end];
        assert!(!name.is_empty() && ATTRIBUTES.contains(&name), "<{element} {name} in {page}");
        rest = &rest[end..];
        if let Some(value) = rest.strip_prefix("=\"") {
            let end = value.find('"').unwrap();
            let value_text = &value[..end];
            assert!(!value_text.contains(['<', '>']), "{name}={value_text} in {page}");
            if matches!(name, "href" | "src" | "action") {
                let first = value_text.chars().next();
                assert!(matches!(first, Some('/' | '?' | '#')), "{name}={value_text}");
                assert!(!value_text.starts_with("//"), "{name}={value_text}");
            }
            rest = &value[end + 1..];
        }
    }
}

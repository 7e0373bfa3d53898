//! Pages of the server's tables, in both encodings of their rows (docs/velociraptor-api.md §4.5).
//!
//! Since 0.74 a row is one JSON array text; before, it is a list of display texts. Columns are found by name, for every page anew,
//! and a row may be shorter than the list of columns.

use std::borrow::Cow;

use serde_json::value::RawValue;
use velociraptor_proto::proto;

/// Texts and numbers of one row.
pub(crate) struct Fields<'a> {
    fields: Vec<Field<'a>>,
}

/// One field of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field<'a> {
    /// JSON text.
    Json(&'a str),
    /// Display text of a server before 0.74.
    Cell(&'a str),
}

/// Position of the column called `name`.
pub(crate) fn column(page: &proto::GetTableResponse, name: &str) -> Option<usize> {
    page.columns.iter().position(|column| column == name)
}

/// Splits a row; `None` if it is no row at all.
#[allow(deprecated)] // servers before 0.74 send cells
pub(crate) fn fields(row: &proto::Row) -> Option<Fields<'_>> {
    if row.json.is_empty() {
        return Some(Fields { fields: row.cell.iter().map(|cell| Field::Cell(cell)).collect() });
    }
    let values: Vec<&RawValue> = serde_json::from_str(&row.json).ok()?;
    Some(Fields { fields: values.into_iter().map(|value| Field::Json(value.get())).collect() })
}

impl<'a> Fields<'a> {
    /// The field of a column, if the page has the column and the row the field.
    pub(crate) fn get(&self, column: Option<usize>) -> Option<Field<'a>> {
        self.fields.get(column?).copied()
    }

    /// Number of fields.
    pub(crate) fn len(&self) -> usize {
        self.fields.len()
    }
}

impl<'a> Field<'a> {
    /// The text of a string; `None` for everything else.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Field::Json(json) => json_text(json),
            // One space protects strings that could be taken for something else (§4.5 (b)).
            Field::Cell(cell) => match cell.strip_prefix(' ') {
                Some(rest) => Some(Cow::Borrowed(rest)),
                None if looks_like_json(cell) => None,
                None => Some(Cow::Borrowed(cell)),
            },
        }
    }

    /// The text of a string that is not empty.
    pub(crate) fn words(self) -> Option<Cow<'a, str>> {
        self.text().filter(|text| !text.is_empty())
    }

    /// A whole number that is not negative.
    pub(crate) fn unsigned(self) -> Option<u64> {
        let text = match self {
            Field::Json(text) | Field::Cell(text) => text,
        };
        match text.parse::<u64>() {
            Ok(number) => Some(number),
            Err(_) => whole_float(text),
        }
    }

    /// The JSON text of an object; `None` for everything else.
    pub(crate) fn object(self) -> Option<&'a str> {
        self.raw().filter(|text| text.starts_with('{'))
    }

    /// The JSON text of an array; `None` for everything else.
    pub(crate) fn array(self) -> Option<&'a str> {
        self.raw().filter(|text| text.starts_with('['))
    }

    /// The strings of an array of strings; `None` for everything else.
    pub(crate) fn strings(self) -> Option<Vec<String>> {
        serde_json::from_str(self.array()?).ok()
    }

    fn raw(self) -> Option<&'a str> {
        match self {
            Field::Json(text) | Field::Cell(text) => Some(text),
        }
    }
}

/// The text of a JSON string, borrowed where it has no escapes.
pub(crate) fn json_text(json: &str) -> Option<Cow<'_, str>> {
    let inner = json.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        return serde_json::from_str::<String>(json).ok().map(Cow::Owned);
    }
    Some(Cow::Borrowed(inner))
}

/// Whether a cell without the protecting space is a number, a boolean, an object or an array.
fn looks_like_json(cell: &str) -> bool {
    let Some(first) = cell.bytes().next() else { return false };
    match first {
        b'{' | b'[' => true,
        b't' | b'f' => cell == "true" || cell == "false",
        b'0'..=b'9' | b'-' | b'+' | b'.' => cell.parse::<f64>().is_ok(),
        _ => false,
    }
}

/// Servers write some whole numbers as floats, for instance `1.048576e+06`.
fn whole_float(text: &str) -> Option<u64> {
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // checked: whole and below 2^53
    ((0.0..EXACT).contains(&number) && number.fract() == 0.0).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json_row(json: &str) -> proto::Row {
        proto::Row { json: json.to_owned(), ..Default::default() }
    }

    #[test]
    fn both_encodings_say_the_same() {
        let json = json_row(r#"["a\"b",12,["x","y"],{"k":1},null,"123"]"#);
        #[allow(deprecated)]
        let cells = proto::Row {
            cell: ["a\"b", "12", "[\n \"x\",\n \"y\"\n]", "{\n \"k\": 1\n}", "", " 123"].map(String::from).to_vec(),
            ..Default::default()
        };
        for row in [&json, &cells] {
            let fields = fields(row).unwrap();
            assert_eq!(fields.len(), 6);
            assert_eq!(fields.get(Some(0)).unwrap().text().unwrap(), "a\"b");
            assert_eq!(fields.get(Some(1)).unwrap().unsigned(), Some(12));
            assert_eq!(fields.get(Some(1)).unwrap().text(), None);
            assert_eq!(fields.get(Some(2)).unwrap().strings().unwrap(), ["x", "y"]);
            assert!(fields.get(Some(3)).unwrap().object().is_some());
            assert_eq!(fields.get(Some(4)).unwrap().words(), None);
            assert_eq!(fields.get(Some(5)).unwrap().text().unwrap(), "123");
            assert_eq!(fields.get(Some(6)), None);
            assert_eq!(fields.get(None), None);
        }
    }

    #[test]
    fn the_protecting_space_of_old_servers_is_taken_off_once() {
        for (cell, text) in
            [(" true", "true"), ("  x", " x"), (" {a}", "{a}"), ("plain", "plain"), (" base64:x", "base64:x")]
        {
            assert_eq!(Field::Cell(cell).text().unwrap(), text);
        }
    }

    #[test]
    fn whole_floats_are_numbers_and_others_are_not() {
        assert_eq!(Field::Json("1.048576e+06").unsigned(), Some(1_048_576));
        for not_whole in ["1.5", "-1", "1e300", "x", "", "null", "true"] {
            assert_eq!(Field::Json(not_whole).unsigned(), None, "{not_whole}");
        }
    }

    proptest! {
        #[test]
        fn no_row_makes_the_reader_fail(json in ".{0,200}", cell in ".{0,80}") {
            #[allow(deprecated)]
            for row in [json_row(&json), proto::Row { cell: vec![cell.clone()], ..Default::default() }] {
                if let Some(fields) = fields(&row) {
                    for index in 0..fields.len() {
                        let field = fields.get(Some(index)).unwrap();
                        let _ = (field.text(), field.words(), field.unsigned(), field.object(), field.strings());
                    }
                }
            }
        }

        #[test]
        fn a_string_survives_both_encodings(text in "\\PC{0,40}") {
            let json = json_row(&serde_json::to_string(&[&text]).unwrap());
            let read = fields(&json).unwrap().get(Some(0)).unwrap().text().map(Cow::into_owned);
            prop_assert_eq!(read, Some(text.clone()));
            let spaced = format!(" {text}");
            prop_assert_eq!(Field::Cell(&spaced).text().unwrap(), text.as_str());
        }
    }
}

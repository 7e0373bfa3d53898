//! The rows of a listing: names in one arena, fixed-size records, in the order of the job.

use crate::attributes::FileType;
use crate::timestamp::Timestamp;

/// The four times of a row, each `None` if the endpoint does not know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Times {
    /// Last modification.
    pub modified: Option<Timestamp>,
    /// Last access.
    pub accessed: Option<Timestamp>,
    /// Last change of the record ($MFT change time, inode change).
    pub changed: Option<Timestamp>,
    /// Creation.
    pub born: Option<Timestamp>,
}

/// One row, as a backend hands it over.
#[derive(Debug, Clone, Copy)]
pub struct EntryFields<'a> {
    /// The raw component: what has to be sent to address the entry.
    pub name: &'a str,
    /// The name to show if it is not the raw component (`C:` for `\\.\C:`).
    pub shown: Option<&'a str>,
    /// Type on the endpoint.
    pub file_type: FileType,
    /// Permission bits on the endpoint, with setuid, setgid and sticky (for provenance).
    pub mode: u16,
    /// Size as listed.
    pub size: u64,
    /// The size says nothing about the content: only reading does (D7).
    pub size_unknown: bool,
    /// The entry can be seen but not addressed: its name was no UTF-8 (D7).
    pub unfetchable: bool,
    /// Times as listed.
    pub times: Times,
    /// Raw target of a symbolic link.
    pub link: Option<&'a str>,
    /// Content that came with the listing (registry values below 4 KiB, D7).
    pub inline: Option<&'a [u8]>,
    /// Everything else the endpoint said of it, as one JSON object (for provenance).
    pub details: Option<&'a str>,
}

/// A range of the arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Span {
    pub offset: u32,
    pub length: u32,
}

impl Span {
    pub(super) const NONE: Span = Span { offset: u32::MAX, length: 0 };

    pub(super) fn is_none(self) -> bool {
        self.offset == u32::MAX
    }
}

/// What only some rows have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Extra {
    pub shown: Span,
    pub link: Span,
    pub inline: Span,
    pub details: Span,
}

pub(super) const NO_EXTRA: u32 = u32::MAX;

pub(super) mod flag {
    pub const SIZE_UNKNOWN: u8 = 1;
    pub const UNFETCHABLE: u8 = 2;
    pub const MODIFIED_KNOWN: u8 = 4;
    pub const ACCESSED_KNOWN: u8 = 8;
    pub const CHANGED_KNOWN: u8 = 16;
    pub const BORN_KNOWN: u8 = 32;
}

/// One row as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Record {
    pub name: Span,
    pub size: u64,
    pub seconds: [i64; 4],
    pub nanos: [u32; 4],
    pub extra: u32,
    pub mode: u16,
    pub file_type: FileType,
    pub flags: u8,
}

/// Rows of one directory, not yet sealed for a place in the tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    pub(super) records: Vec<Record>,
    pub(super) extras: Vec<Extra>,
    pub(super) arena: Vec<u8>,
}

impl Rows {
    /// No rows yet.
    pub fn new() -> Rows {
        Rows::default()
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there are none: an empty directory.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends a row. Returns false, and appends nothing, if the listing outgrew 4 GiB of names.
    #[must_use]
    pub fn push(&mut self, fields: &EntryFields<'_>) -> bool {
        let needed = fields.name.len()
            + fields.shown.map_or(0, str::len)
            + fields.link.map_or(0, str::len)
            + fields.inline.map_or(0, <[u8]>::len)
            + fields.details.map_or(0, str::len);
        if self.arena.len() + needed >= u32::MAX as usize || self.records.len() >= (u32::MAX - 16) as usize {
            return false;
        }
        let name = self.store(fields.name.as_bytes());
        let extra = self.store_extra(fields);
        let times = [fields.times.modified, fields.times.accessed, fields.times.changed, fields.times.born];
        let mut flags = 0;
        for (time, known) in
            times.iter().zip([flag::MODIFIED_KNOWN, flag::ACCESSED_KNOWN, flag::CHANGED_KNOWN, flag::BORN_KNOWN])
        {
            if time.is_some() {
                flags |= known;
            }
        }
        if fields.size_unknown {
            flags |= flag::SIZE_UNKNOWN;
        }
        if fields.unfetchable {
            flags |= flag::UNFETCHABLE;
        }
        let times = times.map(Option::unwrap_or_default);
        self.records.push(Record {
            name,
            size: fields.size,
            seconds: times.map(|time| time.seconds),
            nanos: times.map(|time| time.nanos),
            extra,
            mode: fields.mode,
            file_type: fields.file_type,
            flags,
        });
        true
    }

    /// The row at `ordinal`.
    pub fn row(&self, ordinal: u32) -> Option<Row<'_>> {
        let record = self.records.get(ordinal as usize)?;
        Some(Row { rows: self, record })
    }

    /// All rows in order.
    pub fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.records.iter().map(|record| Row { rows: self, record })
    }

    /// Bytes of memory in use, roughly.
    pub fn memory(&self) -> usize {
        self.records.capacity() * size_of::<Record>()
            + self.extras.capacity() * size_of::<Extra>()
            + self.arena.capacity()
    }

    /// Gives back memory that growing left over.
    pub fn shrink(&mut self) {
        self.records.shrink_to_fit();
        self.extras.shrink_to_fit();
        self.arena.shrink_to_fit();
    }

    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        let start = span.offset as usize;
        self.arena.get(start..start + span.length as usize).unwrap_or_default()
    }

    pub(super) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    fn store(&mut self, bytes: &[u8]) -> Span {
        #[allow(clippy::cast_possible_truncation)]
        // `push` checked that the arena stays below 4 GiB
        let span = Span { offset: self.arena.len() as u32, length: bytes.len() as u32 };
        self.arena.extend_from_slice(bytes);
        span
    }

    /// Rows of one directory mostly say the same details (device numbers): those are stored once.
    fn store_extra(&mut self, fields: &EntryFields<'_>) -> u32 {
        if fields.shown.is_none() && fields.link.is_none() && fields.inline.is_none() && fields.details.is_none() {
            return NO_EXTRA;
        }
        let last = self.extras.last().copied();
        let details = match (fields.details, last) {
            (None, _) => Span::NONE,
            (Some(text), Some(last)) if !last.details.is_none() && self.bytes(last.details) == text.as_bytes() => {
                last.details
            }
            (Some(text), _) => self.store(text.as_bytes()),
        };
        let shown = fields.shown.map_or(Span::NONE, |text| self.store(text.as_bytes()));
        let link = fields.link.map_or(Span::NONE, |text| self.store(text.as_bytes()));
        let inline = fields.inline.map_or(Span::NONE, |bytes| self.store(bytes));
        let extra = Extra { shown, link, inline, details };
        if last != Some(extra) {
            self.extras.push(extra);
        }
        u32::try_from(self.extras.len() - 1).unwrap_or(NO_EXTRA)
    }
}

/// One row, read.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub(super) rows: &'a Rows,
    pub(super) record: &'a Record,
}

impl<'a> Row<'a> {
    /// The raw component.
    pub fn name(&self) -> &'a str {
        self.rows.text(self.record.name)
    }

    /// The name to show: [`Row::name`] unless the backend gave another.
    pub fn shown(&self) -> &'a str {
        match self.extra() {
            Some(extra) if !extra.shown.is_none() => self.rows.text(extra.shown),
            _ => self.name(),
        }
    }

    /// Type on the endpoint.
    pub fn file_type(&self) -> FileType {
        self.record.file_type
    }

    /// Permission bits on the endpoint.
    pub fn mode(&self) -> u16 {
        self.record.mode
    }

    /// Size as listed.
    pub fn size(&self) -> u64 {
        self.record.size
    }

    /// Only reading tells the size (D7).
    pub fn size_unknown(&self) -> bool {
        self.record.flags & flag::SIZE_UNKNOWN != 0
    }

    /// It can be seen but not addressed (D7).
    pub fn unfetchable(&self) -> bool {
        self.record.flags & flag::UNFETCHABLE != 0
    }

    /// Times as listed.
    pub fn times(&self) -> Times {
        Times {
            modified: self.time(0, flag::MODIFIED_KNOWN),
            accessed: self.time(1, flag::ACCESSED_KNOWN),
            changed: self.time(2, flag::CHANGED_KNOWN),
            born: self.time(3, flag::BORN_KNOWN),
        }
    }

    /// Raw target of a symbolic link.
    pub fn link(&self) -> Option<&'a str> {
        self.extra().filter(|extra| !extra.link.is_none()).map(|extra| self.rows.text(extra.link))
    }

    /// Content that came with the listing.
    pub fn inline(&self) -> Option<&'a [u8]> {
        self.extra().filter(|extra| !extra.inline.is_none()).map(|extra| self.rows.bytes(extra.inline))
    }

    /// Everything else the endpoint said, one JSON object.
    pub fn details(&self) -> Option<&'a str> {
        self.extra().filter(|extra| !extra.details.is_none()).map(|extra| self.rows.text(extra.details))
    }

    /// All fields at once, for copying a row.
    pub fn fields(&self) -> EntryFields<'a> {
        EntryFields {
            name: self.name(),
            shown: self.extra().filter(|extra| !extra.shown.is_none()).map(|extra| self.rows.text(extra.shown)),
            file_type: self.file_type(),
            mode: self.mode(),
            size: self.size(),
            size_unknown: self.size_unknown(),
            unfetchable: self.unfetchable(),
            times: self.times(),
            link: self.link(),
            inline: self.inline(),
            details: self.details(),
        }
    }

    fn extra(&self) -> Option<Extra> {
        self.rows.extras.get(self.record.extra as usize).copied()
    }

    fn time(&self, index: usize, known: u8) -> Option<Timestamp> {
        (self.record.flags & known != 0)
            .then(|| Timestamp { seconds: self.record.seconds[index], nanos: self.record.nanos[index] })
    }
}

//! The YAML file: the flags by their names, written with `_` (or `-`), one key each.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use clap::{Arg, ArgAction, Command};

/// Id of the flag that names the file.
pub const KEY: &str = "config";
/// Nobody writes a longer one by hand.
const MAX_BYTES: u64 = 1 << 20;
/// A key with more wrong letters is not meant to be that one.
const SIMILAR: f64 = 0.6;

/// One key of the file with its values.
type Entries = BTreeMap<String, serde_json::Value>;

/// Reads the file.
pub fn read(path: &Path) -> anyhow::Result<Entries> {
    let length = fs::metadata(path).with_context(|| path.display().to_string())?.len();
    if length > MAX_BYTES {
        bail!("{}: larger than 1 MiB; this is no configuration", path.display());
    }
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    parse(&text).with_context(|| path.display().to_string())
}

/// The keys in `text`.
pub fn parse(text: &str) -> anyhow::Result<Entries> {
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(Entries::new());
    }
    Ok(serde_yaml::from_str(text)?)
}

/// The entries as flags of `command`, without those that were `given` on the command line.
pub fn as_arguments(
    path: &Path,
    entries: Entries,
    command: Command,
    given: impl Fn(&str) -> bool,
) -> anyhow::Result<Vec<OsString>> {
    let keys: Vec<&Arg> = command.get_arguments().filter(|key| key.get_long().is_some()).collect();
    let keys: Vec<&Arg> =
        keys.into_iter().filter(|key| !["config", "help", "json"].contains(&key.get_id().as_str())).collect();
    let mut all = Vec::new();
    let mut used = Vec::new();
    for (name, value) in entries {
        let flag = name.replace('_', "-");
        let Some(key) = keys.iter().find(|key| key.get_long() == Some(&flag)) else {
            bail!("{}: there is no key `{name}`{}", path.display(), nearest(&flag, &keys));
        };
        let flags = flags(&flag, &value, matches!(key.get_action(), ArgAction::SetTrue));
        let flags = flags.with_context(|| format!("{}: key `{name}`", path.display()))?;
        if !given(key.get_id().as_str()) {
            used.extend(flags.iter().cloned());
        }
        all.extend(flags);
    }
    check(path, &all, &keys)?;
    Ok(used)
}

/// Judges the values by the parsers of the flags, so that a wrong one is told with the name of the file.
fn check(path: &Path, flags: &[OsString], keys: &[&Arg]) -> anyhow::Result<()> {
    let mut command = Command::new("configuration").no_binary_name(true).disable_help_flag(true);
    for key in keys {
        command = command.arg((*key).clone().required(false));
    }
    let Err(error) = command.try_get_matches_from(flags) else { return Ok(()) };
    let text = error.to_string();
    let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").replace("--", "");
    bail!("{}: {first}", path.display())
}

/// One key as flags: a list gives several, `true` a bare one, `false` none.
fn flags(name: &str, value: &serde_json::Value, switch: bool) -> anyhow::Result<Vec<OsString>> {
    use serde_json::Value;
    if switch {
        return match value {
            Value::Bool(true) => Ok(vec![format!("--{name}").into()]),
            Value::Bool(false) => Ok(Vec::new()),
            _ => bail!("must be true or false"),
        };
    }
    let values = match value {
        Value::Array(values) => values.iter().collect(),
        value => vec![value],
    };
    let flag = |value: &Value| match value {
        Value::String(text) => Ok(format!("--{name}={text}").into()),
        Value::Number(number) => Ok(format!("--{name}={number}").into()),
        Value::Bool(_) | Value::Null | Value::Array(_) | Value::Object(_) => {
            bail!("must be a text, a number, or a list of these")
        }
    };
    values.into_iter().map(flag).collect()
}

fn nearest(name: &str, keys: &[&Arg]) -> String {
    let known = keys.iter().filter_map(|key| key.get_long());
    let closeness = |known: &str| strsim::jaro_winkler(name, known);
    let best = known.map(|known| (closeness(known), known)).max_by(|left, right| left.0.total_cmp(&right.0));
    match best {
        Some((closeness, known)) if closeness >= SIMILAR => format!("; did you mean `{}`?", known.replace('-', "_")),
        _ => "; `--help` lists the keys".into(),
    }
}

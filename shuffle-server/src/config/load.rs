//! Flags over environment over file over defaults, with everything that is wrong named at once.

use std::{fmt, path::Path};

use figment::{
    Error, Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Format, Toml},
    util,
    value::{Dict, Map, Value},
};
use serde::de::DeserializeOwned;

use super::{Config, Key, section::Section};

/// Everything that is wrong with a configuration, each with its key.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is wrong in {} place(s):", self.0.len())?;
        self.0.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}

/// A value from the command line.
#[derive(Debug, Clone)]
pub struct Flag {
    /// What the user wrote, as in `--memory-budget`.
    pub flag: String,
    /// The key, as in `memory.budget`.
    pub key: String,
    /// The values as text: several only for a key that takes a row of them.
    pub values: Vec<String>,
}

impl Config {
    /// Reads the configuration from a TOML file, from environment variables and from flags. Each goes before those that
    /// are named earlier. Whether the values fit together is not looked at here, see [`Config::check`].
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &[Flag],
    ) -> Result<Self, Problems> {
        let keys: Vec<Key> = Config::default().sections().into_iter().flat_map(|(_, _, keys)| keys).collect();
        let mut problems = vec![];
        let mut figment = Figment::new();
        if let Some(path) = file {
            match std::fs::metadata(path) {
                Ok(_) => figment = figment.merge(Toml::file_exact(path)),
                Err(error) => problems.push(format!("{}: {error} (--config)", path.display())),
            }
        }
        for (variable, text) in environment {
            match keys.iter().find(|key| key.variable() == variable) {
                Some(key) => {
                    let values: Vec<String> = if key.list { split(&text) } else { vec![text] };
                    figment = figment.merge(Given::new(key, &values, variable));
                }
                // Other programs' variables begin with OVERHAND_ too; a table's name after it can only be meant for us.
                None if keys.iter().any(|key| variable.starts_with(&prefix(key))) => {
                    problems.push(format!("{variable}: there is no such key (environment)"));
                }
                None => {}
            }
        }
        for flag in flags {
            match keys.iter().find(|key| key.path() == flag.key) {
                Some(key) => {
                    // `--set` knows no rows, so it takes them with commas.
                    let rows = key.list && flag.flag == "--set";
                    let values =
                        if rows { flag.values.iter().flat_map(|v| split(v)).collect() } else { flag.values.clone() };
                    figment = figment.merge(Given::new(key, &values, flag.flag.clone()));
                }
                None => problems.push(format!("{}: there is no such key ({})", flag.key, flag.flag)),
            }
        }
        let mut source = Source { figment, problems };
        source.refuse_unknown(&keys);
        let config = Config {
            listen: Section::read(&mut source),
            storage: Section::read(&mut source),
            memory: Section::read(&mut source),
            network: Section::read(&mut source),
            coordinator: Section::read(&mut source),
            quotas: Section::read(&mut source),
            worker: Section::read(&mut source),
            auth: Section::read(&mut source),
            log: Section::read(&mut source),
        };
        if source.problems.is_empty() { Ok(config) } else { Err(Problems(source.problems)) }
    }
}

fn prefix(key: &Key) -> String {
    format!("OVERHAND_{}_", key.section.to_uppercase())
}

fn split(text: &str) -> Vec<String> {
    text.split(',').map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect()
}

/// What was read from everywhere, and what was found to be wrong with it.
pub struct Source {
    figment: Figment,
    problems: Vec<String>,
}

impl Source {
    /// The value of a key, or its default; a value that does not fit becomes a problem.
    pub fn read<T: DeserializeOwned>(&mut self, section: &str, name: &str, default: impl FnOnce() -> T) -> T {
        let path = format!("{section}.{name}");
        if !self.figment.contains(&path) {
            return default();
        }
        self.figment.extract_inner::<T>(&path).unwrap_or_else(|error| {
            let from = error.metadata.as_ref().or_else(|| self.figment.find_metadata(&path));
            self.problems.push(format!("{path}: {}{}", reason(&error.kind), place(from)));
            default()
        })
    }

    fn refuse_unknown(&mut self, keys: &[Key]) {
        let tree = match self.figment.extract::<Dict>() {
            Ok(tree) => tree,
            // The file is no TOML: every key would fail with the same words, so say it once and go on without it.
            Err(error) => {
                self.problems.push(format!("{}{}", reason(&error.kind), place(error.metadata.as_ref())));
                self.figment = Figment::new();
                return;
            }
        };
        for (section, value) in &tree {
            if !keys.iter().any(|key| key.section == section) {
                self.unknown(section, "table", value, keys.iter().map(|key| key.section));
                continue;
            }
            let here = || keys.iter().filter(|key| key.section == section);
            let Some(entries) = value.as_dict() else {
                self.problems.push(format!("{section}: a table is expected, write [{section}]{}", self.origin(value)));
                self.figment = std::mem::take(&mut self.figment).merge(Given::empty(section));
                continue;
            };
            for (name, value) in entries {
                if !here().any(|key| key.name == name) {
                    self.unknown(&format!("{section}.{name}"), "key", value, here().map(|key| key.name));
                }
            }
        }
    }

    fn unknown<'a>(&mut self, path: &str, what: &str, value: &Value, known: impl Iterator<Item = &'a str>) {
        let mut names: Vec<&str> = known.collect();
        names.dedup();
        let text = format!("{path}: there is no such {what}, there are {}{}", names.join(", "), self.origin(value));
        self.problems.push(text);
    }

    fn origin(&self, value: &Value) -> String {
        // A table carries no tag of its own: its first value tells.
        let leaf = std::iter::successors(Some(value), |value| value.as_dict()?.values().next()).last();
        place(leaf.and_then(|leaf| self.figment.get_metadata(leaf.tag())))
    }
}

fn reason(kind: &Kind) -> String {
    match kind {
        Kind::UnknownVariant(found, known) => {
            format!(
                "\"{found}\" is not one of {}",
                known.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string().trim().to_owned(),
    }
}

fn place(metadata: Option<&Metadata>) -> String {
    match metadata {
        Some(metadata) => match metadata.source.as_ref().and_then(|source| source.file_path()) {
            Some(path) => format!(" ({})", path.display()),
            None => format!(" ({})", metadata.name),
        },
        None => String::new(),
    }
}

/// A value of one key, with the name of where it came from.
struct Given {
    from: String,
    path: String,
    value: Value,
}

impl Given {
    fn new(key: &Key, texts: &[String], from: String) -> Self {
        // Only a number or a truth value is anything but text, and only where the default is one too.
        let is_text = key.value.starts_with('"') || key.list;
        let parse = |text: &String| -> Value {
            if is_text {
                Value::from(text.as_str())
            } else {
                text.parse().unwrap_or_else(|_| Value::from(text.as_str()))
            }
        };
        let value = match texts {
            [only] if !key.list => parse(only),
            _ => Value::from(texts.iter().map(parse).collect::<Vec<_>>()),
        };
        Self { from, path: key.path(), value }
    }

    fn empty(section: &str) -> Self {
        Self { from: String::new(), path: section.to_owned(), value: Value::from(Dict::new()) }
    }
}

impl Provider for Given {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.from.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        let dict = util::nest(&self.path, self.value.clone()).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

//! One description of every key: the macro makes the struct, its defaults, its reader and its documentation of it.

use serde::Serialize;

use super::{load::Source, text::toml_text};

/// A key of the configuration, with a value.
#[derive(Debug, Clone)]
pub struct Key {
    /// The table that it is in.
    pub section: &'static str,
    /// Its name in the table.
    pub name: &'static str,
    /// What it means.
    pub doc: String,
    /// The value, as TOML.
    pub value: String,
    /// For a default that is found out at the start: an example of a value as TOML, and what the default is in words.
    pub computed: Option<(&'static str, &'static str)>,
    /// Whether the value is a row of values.
    pub list: bool,
}

impl Key {
    /// `section.name`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }

    /// The environment's name for it.
    pub fn variable(&self) -> String {
        format!("OVERHAND_{}_{}", self.section, self.name).to_uppercase()
    }
}

/// A table of the configuration.
pub trait Section: Default {
    /// Its name.
    const NAME: &'static str;
    /// What it is about.
    const ABOUT: &'static str;

    /// Its keys with the values of `self`.
    fn keys(&self) -> Vec<Key>;

    /// Takes its values from a source; whatever is wrong is noted there, and the default used instead.
    fn read(source: &mut Source) -> Self;
}

/// How the macro fills a [`Key`].
pub fn key<T: Serialize>(
    place: (&'static str, &'static str),
    doc: &[&str],
    value: &T,
    computed: Option<(&'static str, &'static str)>,
) -> Key {
    let doc = doc.iter().map(|line| line.trim()).collect::<Vec<_>>().join("\n");
    let value = toml_text(value);
    let list = value.starts_with('[');
    Key { section: place.0, name: place.1, doc, value, computed, list }
}

macro_rules! section {
    (
        #[doc = $about:literal]
        $name:ident = $path:literal {
            $(
                $(#[doc = $doc:literal])+
                $field:ident: $type:ty = $default:expr $(=> $computed:expr)?;
            )+
        }
    ) => {
        #[doc = $about]
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])+ pub $field: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ }
            }
        }

        impl $crate::config::section::Section for $name {
            const NAME: &'static str = $path;
            const ABOUT: &'static str = $about;

            fn keys(&self) -> Vec<$crate::config::section::Key> {
                vec![$({
                    #[allow(unused_mut, unused_assignments)]
                    let mut computed = None;
                    $( computed = Some($computed); )?
                    $crate::config::section::key(($path, stringify!($field)), &[$($doc),+], &self.$field, computed)
                }),+]
            }

            fn read(source: &mut $crate::config::load::Source) -> Self {
                Self { $( $field: source.read($path, stringify!($field), || $default), )+ }
            }
        }
    };
}

pub(super) use section;

//! The layers that settings come from, and which of them each one comes from.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{FILE_NAME, PROFILE_BYTES_MAX, ProfileError, Settings};
use crate::files::{self, FileError};

/// Settings by where they stand; the upper layer counts.
#[derive(Debug, Clone)]
pub struct Layers {
    above: Settings,
    file: Option<(PathBuf, Settings)>,
}

/// Which layer a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// A flag, or a variable of the environment.
    Above,
    /// The profile.
    File,
    /// Nothing is set: what counts then.
    Default,
}

/// A setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as in the profile: `agent.listen`.
    pub name: String,
    /// Its value and where that comes from; `None` where nothing is set and nothing counts then.
    pub value: Option<(String, Layer)>,
}

impl Layers {
    /// The profile in this file, or in [`FILE_NAME`] if there is one and none is named, under the
    /// settings of flags and environment. Paths in the file become paths from here.
    ///
    /// # Errors
    /// [`ProfileError::File`] when the file that was named is not there, or
    /// [`ProfileError::Toml`].
    pub fn read(path: Option<&Path>, above: Settings) -> Result<Self, ProfileError> {
        let named = path.unwrap_or(Path::new(FILE_NAME));
        let text = match files::read_text(named, PROFILE_BYTES_MAX) {
            Ok(text) => text,
            Err(FileError::Missing { .. }) if path.is_none() => {
                return Ok(Self { above, file: None });
            }
            Err(error) => return Err(error.into()),
        };
        let file: Settings = toml::from_str(&text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start));
            let line = before.map_or(1, |before| before.matches('\n').count() + 1);
            ProfileError::Toml {
                path: named.to_owned(),
                line,
            }
        })?;
        let folder = named.parent().unwrap_or(Path::new(""));
        let file = Some((named.to_owned(), file.in_folder(folder)));
        Ok(Self { above, file })
    }

    /// The profile that was read, if there is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(path, _)| path.as_path())
    }

    /// The settings that count, without the defaults.
    #[must_use]
    pub fn settled(self) -> Settings {
        self.above
            .or(self.file.map(|(_, file)| file).unwrap_or_default())
    }

    /// Every setting there is, in the order of their names.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let file = self.file.as_ref().map(|(_, file)| file.clone());
        let layers = [
            (values(&self.above), Layer::Above),
            (values(&file.unwrap_or_default()), Layer::File),
            (values(&Settings::defaults()), Layer::Default),
        ];
        let mut names: Vec<_> = layers.iter().flat_map(|(values, _)| values).collect();
        names.sort_by_key(|(name, _)| name);
        names.dedup_by_key(|(name, _)| name);
        let setting = |(name, _): &(String, _)| Setting {
            name: name.clone(),
            value: layers.iter().find_map(|(values, layer)| {
                let (_, value) = values.iter().find(|(other, _)| other == name)?;
                Some((value.clone()?, *layer))
            }),
        };
        names.into_iter().map(setting).collect()
    }
}

/// Each setting of a layer by its dotted name; `None` where the layer says nothing.
fn values(settings: &Settings) -> Vec<(String, Option<String>)> {
    // Strings, numbers and lists of strings always have a value.
    let value = serde_json::to_value(settings).unwrap_or_default();
    let mut found = Vec::new();
    flatten("", &value, &mut found);
    found
}

fn flatten(name: &str, value: &Value, found: &mut Vec<(String, Option<String>)>) {
    match value {
        Value::Object(members) => {
            for (member, value) in members {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{member}"), value, found);
            }
        }
        Value::Null => found.push((name.to_owned(), None)),
        Value::String(text) => found.push((name.to_owned(), Some(text.clone()))),
        other => found.push((name.to_owned(), Some(other.to_string()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers() -> Layers {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE_NAME);
        let text = "node = \"cnam\"\nkey = \"/k.pem\"\n[addresses]\na = \"b:1\"\n[agent]\norigins = [\"https://caisse.example\"]\n";
        files::replace(&path, text.as_bytes()).unwrap();
        let above = Settings {
            node: Some("amc".to_owned()),
            ..Settings::default()
        };
        Layers::read(Some(&path), above).unwrap()
    }

    #[test]
    fn each_setting_is_told_with_the_layer_it_comes_from() {
        let settings = layers().settings();
        let of = |name: &str| {
            let setting = settings.iter().find(|setting| setting.name == name);
            let value = setting.unwrap().value.as_ref();
            value.map(|(value, layer)| (value.as_str(), *layer))
        };
        assert_eq!(of("node"), Some(("amc", Layer::Above)));
        assert_eq!(of("key"), Some(("/k.pem", Layer::File)));
        assert_eq!(of("addresses.a"), Some(("b:1", Layer::File)));
        let origins = "[\"https://caisse.example\"]";
        assert_eq!(of("agent.origins"), Some((origins, Layer::File)));
        assert_eq!(of("roster"), Some(("roster.txt", Layer::Default)));
        assert_eq!(of("device_entry"), None);
    }

    #[test]
    fn what_is_told_is_what_counts() {
        let layers = layers();
        let told = layers.settings();
        let settled = values(&layers.settled());
        for (name, value) in settled.iter().filter(|(_, value)| value.is_some()) {
            let setting = told.iter().find(|setting| setting.name == *name).unwrap();
            let told = setting.value.as_ref().map(|(value, _)| value);
            assert_eq!(told, value.as_ref(), "{name}");
        }
    }
}

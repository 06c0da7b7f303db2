//! Which layer each setting comes from.

use std::path::Path;

use serde_json::Value;

use super::{
    ADMIN_DEFAULT, CACHE_MIB_DEFAULT, ConfigError, DATA_FOLDER, EVALUATOR_KEY_FILE,
    FRESH_FOR_S_MAX, GRPC_DEFAULT, HEARTBEAT_MS_DEFAULT, HTTP_DEFAULT, KEY_FILE, ROSTER_FILE,
    Settings,
};

/// Where a value is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// By a flag, or a variable of the environment.
    Above,
    /// In the machine's file.
    Machine,
    /// In `node.toml` of the node's folder.
    Folder,
    /// Nowhere: what counts then.
    Default,
}

/// A setting as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name, as in the file.
    pub name: String,
    /// Its value, as it was written, and where that comes from; `None` where nothing counts.
    pub value: Option<(String, Layer)>,
}

impl Settings {
    /// What counts where nothing is set.
    #[must_use]
    pub fn defaults() -> Self {
        Self {
            key: Some(KEY_FILE.into()),
            evaluator_key: Some(EVALUATOR_KEY_FILE.into()),
            roster: Some(ROSTER_FILE.into()),
            data: Some(DATA_FOLDER.into()),
            grpc: Some(GRPC_DEFAULT),
            http: Some(HTTP_DEFAULT),
            admin: Some(ADMIN_DEFAULT),
            cache_mib: Some(CACHE_MIB_DEFAULT),
            fresh_for_s: Some(FRESH_FOR_S_MAX),
            learn: Some(false),
            heartbeat_ms: Some(HEARTBEAT_MS_DEFAULT),
            sync_delay_ms: Some(0),
            ..Self::default()
        }
    }

    /// Every setting of the node in this folder under these flags, in the order of their names.
    /// None of them is checked, so that a wrong one can be found.
    ///
    /// # Errors
    /// A file cannot be read, or a line of it is not a setting.
    pub fn explained(dir: &Path, flags: &Self) -> Result<Vec<Setting>, ConfigError> {
        let layers = [
            (values(flags), Layer::Above),
            (values(&flags.of_machine()?), Layer::Machine),
            (values(&Self::read(dir)?), Layer::Folder),
            (values(&Self::defaults()), Layer::Default),
        ];
        let names = layers[0].0.iter().map(|(name, _)| name);
        let setting = |name: &String| Setting {
            name: name.clone(),
            value: layers.iter().find_map(|(values, layer)| {
                let (_, value) = values.iter().find(|(other, _)| other == name)?;
                Some((value.clone()?, *layer))
            }),
        };
        Ok(names.map(setting).collect())
    }
}

/// Every setting there is; `None` where the layer says nothing.
fn values(settings: &Settings) -> Vec<(String, Option<String>)> {
    // Strings, numbers and addresses always have a value.
    let value = serde_json::to_value(settings).unwrap_or_default();
    let members = value.as_object().into_iter().flatten();
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    members
        .map(|(name, value)| (name.clone(), text(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{CONFIG_FILE, Config};
    use super::*;

    #[test]
    fn each_setting_is_told_with_its_layer_and_what_is_told_counts() {
        let dir = tempfile::tempdir().unwrap();
        let machine = dir.path().join("machine.toml");
        let folder = "name = \"cnam\"\nseal = \"none\"\ncache_mib = 7\nheartbeat_ms = 50\n";
        std::fs::write(dir.path().join(CONFIG_FILE), folder).unwrap();
        std::fs::write(&machine, "cache_mib = 8\nhttp = \"127.0.0.3:3\"\n").unwrap();
        let flags = Settings {
            config: Some(machine),
            http: Some("127.0.0.4:4".parse().unwrap()),
            ..Settings::default()
        };
        let told = Settings::explained(dir.path(), &flags).unwrap();
        let of = |name: &str| {
            let setting = told.iter().find(|setting| setting.name == name).unwrap();
            let value = setting.value.as_ref();
            value.map(|(value, layer)| (value.as_str(), *layer))
        };
        assert_eq!(of("http"), Some(("127.0.0.4:4", Layer::Above)));
        assert_eq!(of("cache_mib"), Some(("8", Layer::Machine)));
        assert_eq!(of("heartbeat_ms"), Some(("50", Layer::Folder)));
        assert_eq!(of("grpc"), Some(("127.0.0.1:7443", Layer::Default)));
        assert_eq!(of("contracts"), None);
        let config = Config::load(dir.path(), flags).unwrap();
        assert_eq!(config.cache_bytes, 8 << 20);
        assert_eq!(config.http, "127.0.0.4:4".parse().unwrap());
    }

    #[test]
    fn a_default_that_is_told_is_the_one_that_counts() {
        let named = Settings {
            name: Some("cnam".to_owned()),
            seal: Some(crate::protection::Method::None),
            ..Settings::default()
        };
        let dir = Path::new("/srv/node");
        let bare = Config::complete(dir, named.clone()).unwrap();
        let told = Config::complete(dir, named.over(Settings::defaults())).unwrap();
        assert_eq!(bare, told);
    }
}

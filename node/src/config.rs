//! What an operator sets, and where: flag > environment > the machine's file, if `--config` names one
//! > `node.toml` in the node's folder > default.

mod layers;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::{self, Path, PathBuf};
use std::time::Duration;

use proto::ids::{IdError, MemberName};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::layers::{Layer, Setting};
use crate::ceremony::ceremonies;
use crate::coverage::Sources;
use crate::protection::{Method, Protection, ProtectionError, Sealing};

/// The settings file in a node's folder.
pub const CONFIG_FILE: &str = "node.toml";
/// The node's key in that folder, unless something else is said.
pub const KEY_FILE: &str = "node.key";
/// Its shares of the joint keys there.
pub const EVALUATOR_KEY_FILE: &str = "evaluator.key";
/// The federation's first roster there.
pub const ROSTER_FILE: &str = "roster.txt";
/// The folder of the ledger there.
pub const DATA_FOLDER: &str = "data";
/// Where gRPC is served unless something else is said: loopback, so that nothing is open by accident.
pub const GRPC_DEFAULT: SocketAddr = loopback(7443);
/// Where plain HTTP is served by default.
pub const HTTP_DEFAULT: SocketAddr = loopback(7480);
/// Where reflection and health are served to the operator by default.
pub const ADMIN_DEFAULT: SocketAddr = loopback(7490);
/// Memory for what is read from the store, by default.
pub const CACHE_MIB_DEFAULT: u64 = 256;
/// The largest cache that can be asked for: more is a slip of the unit.
pub const CACHE_MIB_MAX: u64 = 1 << 20;
/// How old the newest checkpoint may be before tills are refused, by default and at most: clients
/// refuse an older one themselves.
pub const FRESH_FOR_S_MAX: u64 = 60;
/// How often a leader says that it is there, by default, in milliseconds.
pub const HEARTBEAT_MS_DEFAULT: u64 = 100;
/// The shortest time between two heartbeats: below it a busy machine looks like a dead leader.
pub const HEARTBEAT_MS_MIN: u64 = 20;
/// The longest: six of them stay within the two seconds of silence after which no leader is known.
pub const HEARTBEAT_MS_MAX: u64 = 300;
/// The largest delay before a sync that can be asked for: beyond it every deadline has passed.
pub const SYNC_DELAY_MS_MAX: u64 = 10_000;

const fn loopback(port: u16) -> SocketAddr {
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// One layer of settings: what flags and environment say, or what the file says. Absent means
/// that the next layer decides. Paths in it are relative to the node's folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, clap::Args)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// File with settings of this machine; they win over those in the node's folder. A package keeps
    /// it in /etc.
    #[arg(long, env = "VITRAIL_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,
    /// This node's member name in the roster.
    #[arg(long, env = "VITRAIL_NAME")]
    pub name: Option<String>,
    /// File of the node's key (PKCS#8 PEM, mode 0600).
    #[arg(long, env = "VITRAIL_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
    /// File of the node's shares of the two joint keys (mode 0600).
    #[arg(long, env = "VITRAIL_EVALUATOR_KEY", value_name = "FILE")]
    pub evaluator_key: Option<PathBuf>,
    /// How the node's shares are sealed on disk: credential, passphrase, pkcs11, or none (for
    /// demonstrations: whoever has the disk then has the shares).
    #[arg(long, env = "VITRAIL_SEAL", value_enum)]
    pub seal: Option<Method>,
    /// File that the credential, the passphrase or the token's PIN is read from; /dev/fd/N for a
    /// descriptor. A credential of systemd is found without it; the others are asked for.
    #[arg(long, env = "VITRAIL_SEAL_FILE", value_name = "FILE")]
    pub seal_file: Option<PathBuf>,
    /// The PKCS#11 module, a shared library, for seal = "pkcs11".
    #[arg(long, env = "VITRAIL_SEAL_MODULE", value_name = "FILE")]
    pub seal_module: Option<PathBuf>,
    /// Label of the PKCS#11 token.
    #[arg(long, env = "VITRAIL_SEAL_TOKEN", value_name = "LABEL")]
    pub seal_token: Option<String>,
    /// Label of the sealing key in the token; vitrail-seal where nothing is said.
    #[arg(long, env = "VITRAIL_SEAL_KEY", value_name = "LABEL")]
    pub seal_key: Option<String>,
    /// File of the federation's first roster, signed.
    #[arg(long, env = "VITRAIL_ROSTER", value_name = "FILE")]
    pub roster: Option<PathBuf>,
    /// Folder of the ledger.
    #[arg(long, env = "VITRAIL_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A payer's contracts, as `vitrail contracts import` wrote them (mode 0600): what tills are
    /// quoted from.
    #[arg(long, env = "VITRAIL_CONTRACTS", value_name = "FILE")]
    pub contracts: Option<PathBuf>,
    /// A payer's plans, in TOML, or in CSV if the file's extension is `csv`.
    #[arg(long, env = "VITRAIL_PLANS", value_name = "FILE")]
    pub plans: Option<PathBuf>,
    /// The shops of the networks that the plans name, in TOML.
    #[arg(long, env = "VITRAIL_NETWORKS", value_name = "FILE")]
    pub networks: Option<PathBuf>,
    /// Address for gRPC over TLS.
    #[arg(long, env = "VITRAIL_GRPC", value_name = "IP:PORT")]
    pub grpc: Option<SocketAddr>,
    /// Address for plain HTTP: checkpoint, tiles, metrics, probes.
    #[arg(long, env = "VITRAIL_HTTP", value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// Loopback address for reflection and health without TLS.
    #[arg(long, env = "VITRAIL_ADMIN", value_name = "IP:PORT")]
    pub admin: Option<SocketAddr>,
    /// Memory for what is read from the store, in MiB.
    #[arg(long, env = "VITRAIL_CACHE_MIB", value_name = "MIB")]
    pub cache_mib: Option<u64>,
    /// Free disk space in MiB below which writes stop.
    #[arg(long, env = "VITRAIL_DISK_WATERMARK_MIB", value_name = "MIB")]
    pub disk_watermark_mib: Option<u64>,
    /// Take part in ordering without a vote: check and cosign each batch, as a member does that is
    /// about to vote. A member that votes does so in any case.
    #[arg(long, env = "VITRAIL_LEARN", num_args = 0..=1, default_missing_value = "true")]
    pub learn: Option<bool>,
    /// Seconds without news from the federation after which tills are refused.
    #[arg(long, env = "VITRAIL_FRESH_FOR_S", value_name = "S")]
    pub fresh_for_s: Option<u64>,
    /// Milliseconds between two heartbeats of a leader. A silent leader is replaced after three to
    /// six of them; the same at all members.
    #[arg(long, env = "VITRAIL_HEARTBEAT_MS", value_name = "MS")]
    pub heartbeat_ms: Option<u64>,
    /// Milliseconds to sleep before each sync, to measure how a slower disk would do.
    #[arg(long, env = "VITRAIL_SYNC_DELAY_MS", value_name = "MS")]
    pub sync_delay_ms: Option<u64>,
}

/// The settings of a node, complete and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This node's member name.
    pub name: MemberName,
    /// File of the node's key.
    pub key: PathBuf,
    /// File of its shares of the two joint keys.
    pub evaluator_key: PathBuf,
    /// How those shares are sealed.
    pub sealing: Sealing,
    /// Folder of the node's key ceremonies.
    pub ceremonies: PathBuf,
    /// Folder of the catalogues that are served by their hash, if there are any.
    pub catalogues: PathBuf,
    /// File of the first roster.
    pub roster: PathBuf,
    /// Folder of the ledger.
    pub data: PathBuf,
    /// What a payer quotes from; `None` at a node that does not quote.
    pub coverage: Option<Sources>,
    /// Address for gRPC over TLS; port 0 lets the system choose.
    pub grpc: SocketAddr,
    /// Address for plain HTTP.
    pub http: SocketAddr,
    /// Loopback address for reflection and health.
    pub admin: SocketAddr,
    /// Memory for what is read from the store.
    pub cache_bytes: u64,
    /// Free disk space below which writes stop; `None` leaves it to the store.
    pub disk_watermark_bytes: Option<u64>,
    /// How old the newest checkpoint may be before tills are refused.
    pub fresh_for: Duration,
    /// Whether it takes part in ordering without a vote.
    pub learn: bool,
    /// Time between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// Sleep before each sync; zero but for measurements.
    pub sync_delay: Duration,
}

/// Why the settings cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {kind}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        kind: io::ErrorKind,
    },
    /// The file is not of the form of `node.toml`.
    #[error("{path}: {error}", path = path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Which line is wrong, and how.
        error: Box<toml::de::Error>,
    },
    /// No layer gives the member name, which has no default.
    #[error("name is missing")]
    NameMissing,
    /// No layer says how the node's shares are sealed; plain files are only for who asks for them.
    #[error("seal is missing: it must be credential, passphrase, pkcs11 or none")]
    SealMissing,
    /// The member name is none.
    #[error("name: {0}")]
    Name(#[from] IdError),
    /// Contracts are nothing without plans, and plans nothing without contracts.
    #[error("{missing} is missing: contracts and plans are set together or not at all")]
    CoverageIncomplete {
        /// The setting.
        missing: &'static str,
    },
    /// The admin listener has neither TLS nor admission, so nobody else may reach it.
    #[error("admin must be a loopback address, got {got}")]
    AdminNotLoopback {
        /// The address asked for.
        got: SocketAddr,
    },
    /// A figure is beyond its limit.
    #[error("{setting} must be at most {max}, got {got}")]
    TooLarge {
        /// The setting.
        setting: &'static str,
        /// The figure asked for.
        got: u64,
        /// The limit.
        max: u64,
    },
    /// A figure is below its limit.
    #[error("{setting} must be at least {min}, got {got}")]
    TooSmall {
        /// The setting.
        setting: &'static str,
        /// The figure asked for.
        got: u64,
        /// The limit.
        min: u64,
    },
}

impl Settings {
    /// Reads `node.toml` in a node's folder.
    ///
    /// # Errors
    /// The file cannot be read, or a line of it is not a setting.
    pub fn read(dir: &Path) -> Result<Self, ConfigError> {
        Self::read_file(dir.join(CONFIG_FILE))
    }

    /// What the machine's file says, if these settings name one.
    fn of_machine(&self) -> Result<Self, ConfigError> {
        self.config
            .clone()
            .map_or_else(|| Ok(Self::default()), Self::read_file)
    }

    fn read_file(path: PathBuf) -> Result<Self, ConfigError> {
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                return Err(ConfigError::Read {
                    path,
                    kind: error.kind(),
                });
            }
        };
        toml::from_str(&text).map_err(|error| ConfigError::Parse {
            path,
            error: Box::new(error),
        })
    }

    /// What a file says of how secrets are sealed: as a flag says it, but with paths that do not
    /// depend on where the flag was given.
    #[must_use]
    pub fn of_sealing(sealing: &Sealing) -> Self {
        let absolute = |path: &PathBuf| path::absolute(path).ok();
        Self {
            seal: Some(sealing.method),
            seal_file: sealing.file.as_ref().and_then(absolute),
            seal_module: sealing.module.as_ref().and_then(absolute),
            seal_token: sealing.token.clone(),
            seal_key: sealing.key.clone(),
            ..Self::default()
        }
    }

    /// How secrets are sealed; paths are from this folder.
    ///
    /// # Errors
    /// [`ConfigError::SealMissing`] alone.
    pub fn sealing(&self, dir: &Path) -> Result<Sealing, ConfigError> {
        let from_folder = |path: &PathBuf| dir.join(path);
        Ok(Sealing {
            method: self.seal.ok_or(ConfigError::SealMissing)?,
            file: self.seal_file.as_ref().map(from_folder),
            module: self.seal_module.as_ref().map(from_folder),
            token: self.seal_token.clone(),
            key: self.seal_key.clone(),
        })
    }

    /// The settings of this layer, and where it says nothing those of the next.
    #[must_use]
    pub fn over(self, next: Self) -> Self {
        Self {
            config: self.config.or(next.config),
            name: self.name.or(next.name),
            key: self.key.or(next.key),
            evaluator_key: self.evaluator_key.or(next.evaluator_key),
            seal: self.seal.or(next.seal),
            seal_file: self.seal_file.or(next.seal_file),
            seal_module: self.seal_module.or(next.seal_module),
            seal_token: self.seal_token.or(next.seal_token),
            seal_key: self.seal_key.or(next.seal_key),
            roster: self.roster.or(next.roster),
            data: self.data.or(next.data),
            contracts: self.contracts.or(next.contracts),
            plans: self.plans.or(next.plans),
            networks: self.networks.or(next.networks),
            grpc: self.grpc.or(next.grpc),
            http: self.http.or(next.http),
            admin: self.admin.or(next.admin),
            cache_mib: self.cache_mib.or(next.cache_mib),
            disk_watermark_mib: self.disk_watermark_mib.or(next.disk_watermark_mib),
            fresh_for_s: self.fresh_for_s.or(next.fresh_for_s),
            learn: self.learn.or(next.learn),
            heartbeat_ms: self.heartbeat_ms.or(next.heartbeat_ms),
            sync_delay_ms: self.sync_delay_ms.or(next.sync_delay_ms),
        }
    }
}

impl Config {
    /// The settings of the node in this folder, under those of the machine, under what flags and
    /// environment say.
    ///
    /// # Errors
    /// [`ConfigError`], see its variants.
    pub fn load(dir: &Path, flags: Settings) -> Result<Self, ConfigError> {
        let machine = flags.of_machine()?;
        Self::complete(dir, flags.over(machine).over(Settings::read(dir)?))
    }

    /// Reads the credential, passphrase or PIN that seals the node's shares, or asks for it. A file
    /// descriptor can be read once.
    ///
    /// # Errors
    /// [`ProtectionError`].
    pub fn protection(&self) -> Result<Protection, ProtectionError> {
        Protection::load(&self.sealing)
    }

    /// Fills in the defaults and checks every setting.
    ///
    /// # Errors
    /// The first setting that is missing, malformed or beyond its limit.
    pub fn complete(dir: &Path, settings: Settings) -> Result<Self, ConfigError> {
        let name = settings.name.as_deref();
        let name = name.ok_or(ConfigError::NameMissing)?.parse()?;
        let sealing = settings.sealing(dir)?;
        let path =
            |path: Option<PathBuf>, default| dir.join(path.unwrap_or(PathBuf::from(default)));
        let admin = settings.admin.unwrap_or(ADMIN_DEFAULT);
        if !admin.ip().is_loopback() {
            return Err(ConfigError::AdminNotLoopback { got: admin });
        }
        let cache = settings.cache_mib.unwrap_or(CACHE_MIB_DEFAULT);
        let delay = settings.sync_delay_ms.unwrap_or(0);
        let fresh = settings.fresh_for_s.unwrap_or(FRESH_FOR_S_MAX);
        let heartbeat = settings.heartbeat_ms.unwrap_or(HEARTBEAT_MS_DEFAULT);
        Ok(Self {
            name,
            key: path(settings.key, KEY_FILE),
            evaluator_key: path(settings.evaluator_key, EVALUATOR_KEY_FILE),
            sealing,
            ceremonies: ceremonies(dir),
            catalogues: dir.join("catalogues"),
            roster: path(settings.roster, ROSTER_FILE),
            data: path(settings.data, DATA_FOLDER),
            coverage: coverage(dir, settings.contracts, settings.plans, settings.networks)?,
            grpc: settings.grpc.unwrap_or(GRPC_DEFAULT),
            http: settings.http.unwrap_or(HTTP_DEFAULT),
            admin,
            cache_bytes: at_most("cache_mib", cache, CACHE_MIB_MAX)? << 20,
            disk_watermark_bytes: settings
                .disk_watermark_mib
                .map(|mib| mib.saturating_mul(1 << 20)),
            fresh_for: Duration::from_secs(at_most("fresh_for_s", fresh, FRESH_FOR_S_MAX)?),
            learn: settings.learn.unwrap_or(false),
            heartbeat: Duration::from_millis(at_least(
                "heartbeat_ms",
                at_most("heartbeat_ms", heartbeat, HEARTBEAT_MS_MAX)?,
                HEARTBEAT_MS_MIN,
            )?),
            sync_delay: Duration::from_millis(at_most("sync_delay_ms", delay, SYNC_DELAY_MS_MAX)?),
        })
    }
}

fn coverage(
    dir: &Path,
    contracts: Option<PathBuf>,
    plans: Option<PathBuf>,
    networks: Option<PathBuf>,
) -> Result<Option<Sources>, ConfigError> {
    let missing = match (contracts, plans) {
        (None, None) if networks.is_none() => return Ok(None),
        (Some(contracts), Some(plans)) => {
            return Ok(Some(Sources {
                contracts: dir.join(contracts),
                plans: dir.join(plans),
                networks: networks.map(|networks| dir.join(networks)),
            }));
        }
        (None, _) => "contracts",
        (Some(_), None) => "plans",
    };
    Err(ConfigError::CoverageIncomplete { missing })
}

fn at_most(setting: &'static str, got: u64, max: u64) -> Result<u64, ConfigError> {
    (got <= max)
        .then_some(got)
        .ok_or(ConfigError::TooLarge { setting, got, max })
}

fn at_least(setting: &'static str, got: u64, min: u64) -> Result<u64, ConfigError> {
    (got >= min)
        .then_some(got)
        .ok_or(ConfigError::TooSmall { setting, got, min })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Settings {
        Settings {
            name: Some(name.to_owned()),
            seal: Some(Method::None),
            ..Settings::default()
        }
    }

    #[test]
    fn a_flag_wins_over_the_file_and_the_file_over_the_default() {
        let dir = tempfile::tempdir().unwrap();
        let text =
            "name = \"cnam\"\nseal = \"none\"\ngrpc = \"127.0.0.2:1\"\nhttp = \"127.0.0.2:2\"\n";
        fs::write(dir.path().join(CONFIG_FILE), text).unwrap();
        let flags = Settings {
            grpc: Some("127.0.0.3:3".parse().unwrap()),
            ..Settings::default()
        };
        let config = Config::load(dir.path(), flags).unwrap();
        assert_eq!(config.grpc, "127.0.0.3:3".parse().unwrap());
        assert_eq!(config.http, "127.0.0.2:2".parse().unwrap());
        assert_eq!(config.admin, ADMIN_DEFAULT);
        assert_eq!(config.name.as_str(), "cnam");
        assert_eq!(config.data, dir.path().join("data"));
    }

    #[test]
    fn the_file_of_the_machine_wins_over_that_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        let folder = "name = \"cnam\"\nseal = \"none\"\nhttp = \"127.0.0.2:2\"\ncache_mib = 7\n";
        fs::write(dir.path().join(CONFIG_FILE), folder).unwrap();
        let machine = dir.path().join("machine.toml");
        fs::write(&machine, "http = \"127.0.0.3:3\"\ngrpc = \"127.0.0.3:4\"\n").unwrap();
        let flags = Settings {
            config: Some(machine.clone()),
            grpc: Some("127.0.0.4:4".parse().unwrap()),
            ..Settings::default()
        };
        let config = Config::load(dir.path(), flags.clone()).unwrap();
        assert_eq!(config.http, "127.0.0.3:3".parse().unwrap());
        assert_eq!(config.grpc, "127.0.0.4:4".parse().unwrap());
        assert_eq!(config.cache_bytes, 7 << 20);
        fs::remove_file(machine).unwrap();
        let missing = Config::load(dir.path(), flags).unwrap_err();
        assert!(matches!(missing, ConfigError::Read { .. }));
    }

    #[test]
    fn an_unknown_setting_is_named_with_its_line() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join(CONFIG_FILE),
            "name = \"cnam\"\ngrcp = \"127.0.0.1:1\"\n",
        )
        .unwrap();
        let error = Config::load(dir.path(), Settings::default())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("grcp") && error.contains("line 2"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_limit() {
        let complete = |settings| Config::complete(Path::new("."), settings);
        assert!(matches!(
            complete(Settings::default()),
            Err(ConfigError::NameMissing)
        ));
        assert!(matches!(
            complete(named("Not A Name")),
            Err(ConfigError::Name(_))
        ));
        let open = Settings {
            admin: Some("0.0.0.0:7490".parse().unwrap()),
            ..named("a")
        };
        assert!(matches!(
            complete(open),
            Err(ConfigError::AdminNotLoopback { .. })
        ));
        let alone = Settings {
            plans: Some("plans.toml".into()),
            ..named("a")
        };
        assert!(matches!(
            complete(alone),
            Err(ConfigError::CoverageIncomplete {
                missing: "contracts"
            })
        ));
        let slow = Settings {
            sync_delay_ms: Some(SYNC_DELAY_MS_MAX + 1),
            ..named("a")
        };
        assert!(matches!(complete(slow), Err(ConfigError::TooLarge { .. })));
        let hasty = Settings {
            heartbeat_ms: Some(HEARTBEAT_MS_MIN - 1),
            ..named("cnam")
        };
        assert!(matches!(complete(hasty), Err(ConfigError::TooSmall { .. })));
    }

    #[test]
    fn settings_that_are_written_read_back() {
        let settings = Settings {
            http: Some(HTTP_DEFAULT),
            cache_mib: Some(64),
            ..named("cnam")
        };
        let text = toml::to_string(&settings).unwrap();
        assert_eq!(toml::from_str::<Settings>(&text).unwrap(), settings);
    }
}

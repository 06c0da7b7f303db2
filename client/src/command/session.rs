//! `session`: the session key of a till with a device key, renewed if it is due.

use clap::Args;
use client::device;
use client::profile::Settings;
use schemars::JsonSchema;
use serde::Serialize;

use super::report::{Report, to_json};
use super::{Answer, SettingsArgs};

/// Arguments of `session`.
#[derive(Args)]
pub(super) struct SessionArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// `vitrail session`
pub(super) async fn session(args: SessionArgs) -> Answer {
    let profile = device::renewed(args.settings.load(Settings::default())?).await?;
    let key = profile.settings().key.as_deref();
    Ok(Box::new(SessionReport {
        public_key: profile.secret()?.public().to_base64(),
        expires_at: key.and_then(device::expiry).map(|at| at.to_iso()),
    }))
}

/// What `session` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SessionReport {
    /// The key that this till works with.
    public_key: String,
    /// When it expires; none for a key that is no session's.
    expires_at: Option<String>,
}

impl Report for SessionReport {
    fn text(&self) -> String {
        let expires_at = self.expires_at.as_deref().unwrap_or("with its grant");
        format!("public key {}\nexpires {expires_at}\n", self.public_key)
    }

    fn json(&self) -> String {
        to_json(self)
    }
}

//! The settings of the console (the settings page).

use std::net::SocketAddr;
use std::path::PathBuf;

use super::layers::Layers;
use super::setting::SettingError;
use super::sources::Sources;
use crate::console;
use crate::signed_url::BaseUrl;

impl Sources {
    /// Reads the settings for minting portal links: the console, the address of the admin listener, and the keyring
    /// path.
    pub(crate) fn read_for_portal(&self) -> Result<(console::Config, SocketAddr, PathBuf), SettingError> {
        let layers = self.layers()?;
        Ok((read(&layers)?, layers.get("admin.listen")?, layers.required("keys")?))
    }
}

pub(super) fn read(layers: &Layers) -> Result<console::Config, SettingError> {
    let url: Option<BaseUrl> = layers.optional("console.url")?;
    // A `;` would end the path of a cookie.
    if url.as_ref().is_some_and(|url| url.prefix().ends_with(console::ROOT) || url.prefix().contains(';')) {
        return Err(layers.refuse(
            "console.url",
            "the URL before /console, without a semicolon: https://hooks.example.com for https://hooks.example.com/console",
        ));
    }
    Ok(console::Config {
        url,
        link_lifetime: layers.get("console.link_lifetime")?,
        session_lifetime: layers.get("console.session_lifetime")?,
    })
}

//! The way to the Velociraptor server: its API port, or its GUI where that cannot be reached.

use std::path::{Path, PathBuf};

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};
use velociraptor::{ApiConfig, Driver, GuiConfig, GuiLogin, PASSWORD_VARIABLE};

/// The flags that name the server and us to it.
#[derive(Debug, Clone, Default, Args)]
pub struct WayKeys {
    /// The file that `velociraptor config api_client` writes: the way through the API port
    #[arg(long, value_name = "FILE", help_heading = "Velociraptor server")]
    pub api_config: Option<PathBuf>,
    /// The GUI instead, where the API port cannot be reached: what a browser shows before app/index.html
    #[arg(long, value_name = "URL", help_heading = "Velociraptor server")]
    pub gui_url: Option<String>,
    /// Our user of the GUI
    #[arg(long, value_name = "NAME", help_heading = "Velociraptor server")]
    pub gui_user: Option<String>,
    /// File with this user's password [default: the variable RAPTORGATE_GUI_PASSWORD]
    #[arg(long, value_name = "FILE", help_heading = "Velociraptor server")]
    pub gui_password_file: Option<PathBuf>,
    /// Our certificate (PEM) instead of a password, where the GUI asks for one
    #[arg(long, value_name = "FILE", help_heading = "Velociraptor server")]
    pub gui_certificate: Option<PathBuf>,
    /// The key of this certificate (PEM)
    #[arg(long, value_name = "FILE", help_heading = "Velociraptor server")]
    pub gui_key: Option<PathBuf>,
    /// The CA of the GUI's certificate (PEM), such as Client.ca_certificate of server.config.yaml [default: the CAs of this machine]
    #[arg(long, value_name = "FILE", help_heading = "Velociraptor server")]
    pub gui_ca: Option<PathBuf>,
}

/// A way that was found.
pub struct Way {
    /// The driver, which has asked nothing yet.
    pub driver: Driver,
    /// The keys, for the status: other verbs find the same way by it.
    pub origin: Value,
}

impl WayKeys {
    /// Whether no server is named.
    pub fn is_empty(&self) -> bool {
        self.api_config.is_none() && self.gui_url.is_none()
    }

    /// The keys of a running gateway, as its status has them.
    pub fn of_status(server: &Value) -> WayKeys {
        let text = |key: &str| server[key].as_str().map(str::to_owned);
        let file = |key: &str| text(key).map(PathBuf::from);
        WayKeys {
            api_config: file("api_config"),
            gui_url: text("gui_url"),
            gui_user: text("gui_user"),
            gui_password_file: file("gui_password_file"),
            gui_certificate: file("gui_certificate"),
            gui_key: file("gui_key"),
            gui_ca: file("gui_ca"),
        }
    }

    /// Prepares the driver. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// One line that says what is missing or wrong.
    pub fn find(&self) -> anyhow::Result<Way> {
        match (&self.api_config, &self.gui_url) {
            (Some(_), Some(_)) => bail!("--api-config and --gui-url are two ways to one server: give one of them"),
            (Some(file), None) => {
                if self.gui_user.is_some() || self.gui_certificate.is_some() {
                    bail!("--gui-user and --gui-certificate belong to --gui-url, not to --api-config");
                }
                self.api_port(file)
            }
            (None, Some(url)) => self.gui(url),
            (None, None) => bail!(
                "which server? --api-config FILE, the file that `velociraptor config api_client` writes; or, where its API port \
                 cannot be reached, --gui-url URL with --gui-user NAME"
            ),
        }
    }

    fn api_port(&self, file: &Path) -> anyhow::Result<Way> {
        let config = ApiConfig::load(file)?;
        let address = config.api_connection_string.trim();
        let origin = json!({ "simulated": false, "address": address, "api_config": std::path::absolute(file)? });
        Ok(Way { driver: Driver::connect(&config, velociraptor::Options::default())?, origin })
    }

    fn gui(&self, url: &str) -> anyhow::Result<Way> {
        let login = GuiLogin {
            user: self.gui_user.clone(),
            password_file: self.gui_password_file.clone(),
            certificate: self.gui_certificate.clone(),
            key: self.gui_key.clone(),
        };
        let config = GuiConfig::load(url, &login, std::env::var(PASSWORD_VARIABLE).ok(), self.gui_ca.as_deref())?;
        let absolute = |file: &Option<PathBuf>| file.as_ref().map(std::path::absolute).transpose();
        let origin = json!({
            "simulated": false,
            "address": config.address(),
            "gui_url": config.address(),
            "gui_user": self.gui_user,
            "gui_password_file": absolute(&self.gui_password_file)?,
            "gui_certificate": absolute(&self.gui_certificate)?,
            "gui_key": absolute(&self.gui_key)?,
            "gui_ca": absolute(&self.gui_ca)?,
        });
        Ok(Way { driver: Driver::connect_gui(&config, velociraptor::Options::default())?, origin })
    }
}

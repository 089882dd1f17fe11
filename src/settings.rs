//! The one settings tree: read once at start, checked as a whole, then handed out by section.
//!
//! Three layers, the later before the earlier: the defaults compiled into the binary (`defaults.toml`,
//! which is also the operator's reference), a file, and the environment. A key that nobody knows is an
//! error, because a misspelled setting that is ignored is worse than one that is missing. Relations
//! between settings are checked in [`checks`], which explains what would go wrong.

pub mod checks;
mod formats;
pub mod reference;
pub mod sections;
pub mod traces;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use config::{Config, ConfigError, File, FileFormat, Value, ValueKind};
use serde::{Deserialize, Serialize};

pub use sections::*;

/// Everything that an operator can set. Each part of the bridge gets only its own section.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub server: Server,
    pub database: Database,
    pub security: Security,
    pub instance: Instance,
    pub limits: Limits,
    pub send: Send,
    pub relay: Relay,
    pub templates: Templates,
    pub media: Media,
    pub channels: Channels,
    pub repeats: Repeats,
    pub retention: Retention,
    pub alarms: Alarms,
    pub console: Console,
    pub log: Log,
    pub traces: Traces,
}

/// Read when it exists and no other file was named.
pub const DEFAULT_FILE: &str = "wabridge.toml";
const ENVIRONMENT_PREFIX: &str = "WABRIDGE__";
const DEFAULTS: &str = include_str!("defaults.toml");

impl Settings {
    /// Reads all layers and checks the result. `file` must exist when it is named.
    pub fn load(file: Option<&Path>) -> Result<Self, SettingsError> {
        let file = match file {
            Some(path) if !path.is_file() => return Err(SettingsError::NoFile(path.to_owned())),
            file => Self::file_read(file),
        };
        let text = match &file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|e| SettingsError::File(path.clone(), e))?),
            None => None,
        };
        // Variables that are not Unicode cannot be ours.
        let environment: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        let names = || environment.iter().map(|(name, _)| name.as_str());
        if let Some(problem) = misspelt(names()).or_else(|| unknown_variable(names())) {
            return Err(problem);
        }
        let settings = Self::from_layers(text.as_deref(), environment)
            .map_err(|problem| SettingsError::Unreadable { file, problem: Box::new(problem) })?;
        settings.validate()?;
        Ok(settings)
    }

    /// The file that is read: the one that is named, or the usual one when it is there.
    pub fn file_read(named: Option<&Path>) -> Option<PathBuf> {
        named.map(Path::to_owned).or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.is_file()))
    }

    /// The names of the environment variables that are read.
    pub fn variables_read() -> Vec<String> {
        let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(ENVIRONMENT_PREFIX)).collect();
        names.sort();
        names
    }

    /// Reads a text as a file would be read, without the environment: for a bridge that a program sets up.
    pub fn from_text(text: &str) -> Result<Self, SettingsError> {
        let settings = Self::from_layers(Some(text), [])
            .map_err(|problem| SettingsError::Unreadable { file: None, problem: Box::new(problem) })?;
        settings.validate()?;
        Ok(settings)
    }

    /// The defaults alone.
    pub fn defaults() -> Self {
        Self::from_layers(None, []).expect("the compiled-in defaults are read by a test")
    }

    /// Checks the relations between settings; see [`checks`].
    pub fn validate(&self) -> Result<(), SettingsError> {
        let contradictions = checks::contradictions(self);
        if contradictions.is_empty() { Ok(()) } else { Err(SettingsError::Contradictions(contradictions)) }
    }

    /// The tree in effect as TOML, secrets blanked.
    pub fn render(&self) -> String {
        toml::to_string(self).expect("a tree of tables and plain values is always TOML")
    }

    /// What is set to something else than by default, secrets blanked.
    pub fn differences(&self) -> Vec<Difference> {
        let tree =
            |settings: &Self| toml::Table::try_from(settings).expect("a tree of tables and plain values is TOML");
        let (here, defaults) = (tree(self), tree(&Self::defaults()));
        let mut found = Vec::new();
        for (section, settings) in here {
            let toml::Value::Table(settings) = settings else { continue };
            let default_of = |key: &str| defaults.get(&section)?.get(key);
            for (key, value) in settings.into_iter().filter(|(key, value)| default_of(key) != Some(value)) {
                let default = default_of(&key).map_or_else(|| "none".to_owned(), ToString::to_string);
                found.push(Difference { key: format!("{section}.{key}"), value: value.to_string(), default });
            }
        }
        found
    }

    /// How the world reaches this server, without a slash at the end.
    pub fn public_url(&self) -> String {
        match self.server.public_url.trim_end_matches('/') {
            "" if self.server.tls_certificate.is_some() => format!("https://{}", self.server.bind),
            "" => format!("http://{}", self.server.bind),
            url => url.to_owned(),
        }
    }

    /// How people reach the console, without a slash at the end.
    pub fn console_url(&self) -> String {
        let scheme = if self.server.tls_certificate.is_some() { "https" } else { "http" };
        match (self.console.public_url.trim_end_matches('/'), self.console.bind) {
            ("", Some(bind)) => format!("{scheme}://{bind}"),
            ("", None) => self.public_url(),
            (url, _) => url.to_owned(),
        }
    }

    /// The name of this instance: the one that was set, else the host's, else `main`.
    pub fn instance_id(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| std::env::var("HOSTNAME"));
        let name = if self.instance.id.is_empty() { host().unwrap_or_default() } else { self.instance.id.clone() };
        match name.trim() {
            "" => "main".to_owned(),
            name => name.chars().take(checks::INSTANCE_ID_CHARS_MAX).collect(),
        }
    }

    fn from_layers(
        file: Option<&str>,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let defaults = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));
        let known = defaults.clone().build()?;
        let mut layers = defaults;
        if let Some(text) = file {
            layers = layers.add_source(File::from_str(text, FileFormat::Toml));
        }
        for (name, text) in environment {
            let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let key = path.to_lowercase().replace("__", ".");
            let value = environment_value(&known, &key, text, &name);
            layers = layers.set_override(&key, value)?;
        }
        layers.build()?.try_deserialize()
    }
}

/// A variable's text as it is (the types of the tree parse it), or a list where the defaults have one.
fn environment_value(known: &Config, key: &str, text: String, name: &str) -> Value {
    let kind = if known.get_array(key).is_ok() {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        ValueKind::Array(items.map(|item| Value::from(item.to_owned())).collect())
    } else {
        ValueKind::String(text)
    };
    Value::new(Some(&format!("the environment variable {name}")), kind)
}

/// A setting that is not as it is by default; as TOML writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    pub value: String,
    pub default: String,
}

/// Secrets stay blank when settings are logged, by whatever route.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render())
    }
}

/// The settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("there is no settings file {}: check the path given by --settings", .0.display())]
    NoFile(PathBuf),
    #[error("could not read the settings file {}", .0.display())]
    File(PathBuf, #[source] std::io::Error),
    #[error("could not understand the settings from {} or the environment: {problem}{}", named(.file.as_deref()), advice(.problem))]
    Unreadable { file: Option<PathBuf>, problem: Box<ConfigError> },
    /// Such a variable would do nothing, and nobody would know why.
    #[error(
        "the environment variable {0} does nothing: write {1}, with two underscores after WABRIDGE and after the section"
    )]
    Misspelt(String, String),
    #[error(
        "the environment variable {variable} is a whole section, and no setting: write a variable for each of its settings, such \
         as {example}"
    )]
    SectionVariable { variable: String, example: String },
    #[error(
        "the environment variable {0} names no setting: check its spelling; `wabridge settings --reference` has them all"
    )]
    UnknownVariable(String),
    /// Every one of them, so that they can be mended in one go.
    #[error("the settings do not fit together:\n- {}", .0.join("\n- "))]
    Contradictions(Vec<String>),
}

fn named(file: Option<&Path>) -> String {
    file.map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string())
}

/// How to write what could not be read.
fn advice(error: &ConfigError) -> String {
    let text = error.to_string();
    let forms = [
        ("expected a duration", "; durations are written like \"800ms\", \"30s\", \"15m\", \"7d\""),
        (
            "invalid socket address",
            "; write an address with a port, like \"127.0.0.1:8080\", or \"0.0.0.0:8080\" for all of this machine's",
        ),
    ];
    let form = forms.iter().find(|(problem, _)| text.contains(problem)).map_or("", |(_, form)| form);
    let key = text.split("for key `").nth(1).and_then(|rest| rest.split('`').next());
    // A section cannot be given by a variable.
    let key = key.filter(|key| reference::keys().any(|known| known == *key));
    let variable = key.map(variable_of).map_or_else(String::new, |variable| format!(" (as a variable {variable})"));
    format!("{variable}{form}")
}

/// The environment variable for a key such as `send.timeout`.
fn variable_of(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// A variable that was meant to be a setting, but has single underscores.
fn misspelt<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<SettingsError> {
    let known: Vec<String> = reference::keys().map(|key| variable_of(&key)).collect();
    names.into_iter().filter(|name| !name.starts_with(ENVIRONMENT_PREFIX)).find_map(|name| {
        let meant = known.iter().find(|variable| variable.replace("__", "_") == name)?;
        Some(SettingsError::Misspelt(name.to_owned(), meant.clone()))
    })
}

/// A variable of ours that is none of the settings.
fn unknown_variable<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<SettingsError> {
    let known: Vec<String> = reference::keys().map(|key| variable_of(&key)).collect();
    let unknown = |name: &&str| name.starts_with(ENVIRONMENT_PREFIX) && !known.contains(&name.to_uppercase());
    let name = names.into_iter().find(unknown)?;
    let within = format!("{}__", name.to_uppercase());
    Some(match known.iter().find(|variable| variable.starts_with(&within)) {
        Some(example) => SettingsError::SectionVariable { variable: name.to_owned(), example: example.clone() },
        None => SettingsError::UnknownVariable(name.to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use std::{error::Error, time::Duration};

    use proptest::prelude::*;

    use super::*;

    fn environment<const N: usize>(pairs: [(&str, &str); N]) -> Vec<(String, String)> {
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
    }

    #[test]
    fn the_defaults_are_complete_and_fit_together() {
        let settings = Settings::defaults();

        settings.validate().expect("the defaults contradict nobody");
        assert_eq!(settings.public_url(), "http://127.0.0.1:8080");
        assert_eq!(settings.repeats.window, Duration::from_secs(7 * 24 * 3600));
        assert_eq!(settings.send.retry_waits.len(), 6);
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
        let file =
            "[send]\ntimeout = \"7s\"\nconnect_timeout = \"2s\"\n[server]\npublic_url = \"https://wa.example.com/\"";
        let environment = environment([
            ("WABRIDGE__SEND__TIMEOUT", "8s"),
            ("WABRIDGE__SEND__RETRY_WAITS", "1s, 2m"),
            ("WABRIDGE__LIMITS__WEBHOOKS_WAITING", "77"),
            ("WABRIDGE__SECURITY__ALLOW_PRIVATE_NETWORKS", "true"),
            ("WABRIDGE__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,192.0.2.1"),
            ("WABRIDGE_OTHER", "not ours"),
        ]);

        let settings = Settings::from_layers(Some(file), environment).expect("all of it is known");

        assert_eq!(settings.send.timeout, Duration::from_secs(8));
        assert_eq!(settings.send.connect_timeout, Duration::from_secs(2));
        assert_eq!(settings.send.retry_waits, [Duration::from_secs(1), Duration::from_secs(120)]);
        assert_eq!(settings.limits.webhooks_waiting, 77);
        assert!(settings.security.allow_private_networks);
        assert_eq!(settings.server.trusted_proxies.len(), 2);
        assert_eq!(settings.public_url(), "https://wa.example.com");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_it() {
        for (text, key) in [
            ("[send]\ntimeuot = \"1s\"", "timeuot"),
            ("[sendd]\ntimeout = \"1s\"", "sendd"),
            ("[retention]\nmessage_keys = \"7d\"", "message_keys"),
        ] {
            let error = Settings::from_layers(Some(text), []).expect_err("nobody knows the key");

            assert!(error.to_string().contains(key), "{error}");
        }
        let environment = environment([("WABRIDGE__SEND__TIMEUOT", "1s")]);
        let error = Settings::from_layers(None, environment).expect_err("nobody knows the key");
        assert!(error.to_string().contains("timeuot"), "{error}");
    }

    #[test]
    fn a_value_that_cannot_be_read_names_its_key() {
        let error = Settings::from_layers(Some("[send]\ntimeout = \"soon\""), []).expect_err("not a duration");
        assert!(error.to_string().contains("send.timeout"), "{error}");

        let environment = environment([("WABRIDGE__SERVER__WORKERS", "many")]);
        let error = Settings::from_layers(None, environment).expect_err("not a number");
        assert!(error.to_string().contains("server.workers"), "{error}");

        let error = Settings::from_text("[send]\ntimeout = \"8\"").expect_err("not a duration").to_string();
        assert!(error.contains("WABRIDGE__SEND__TIMEOUT") && error.contains("\"30s\""), "{error}");
        let error = Settings::from_text("[server]\nbind = \"8090\"").expect_err("no address").to_string();
        assert!(error.contains("server.bind") && error.contains("\"127.0.0.1:8080\""), "{error}");
        let error = Settings::from_text("[log]\nformat = \"xml\"").expect_err("no such format").to_string();
        assert!(error.contains("text") && error.contains("json"), "{error}");
    }

    #[test]
    fn a_variable_with_single_underscores_is_told_and_not_ignored() {
        let error = misspelt(["PATH", "WABRIDGE_SEND_TIMEOUT"]).expect("it was meant");
        assert!(error.to_string().contains("write WABRIDGE__SEND__TIMEOUT"), "{error}");
        assert!(misspelt(["WABRIDGE__SEND__TIMEOUT", "WABRIDGE_TEST_POSTGRES"]).is_none());
    }

    #[test]
    fn a_variable_that_is_no_setting_is_named_as_it_was_written() {
        let told = |name| unknown_variable(["PATH", "WABRIDGE_TEST_POSTGRES", name]).map(|error| error.to_string());

        assert_eq!(told("WABRIDGE__SEND__TIMEOUT"), None);
        assert_eq!(told("WABRIDGE__SECURITY__MASTER_KEY"), None, "one without a default is a setting too");
        let misspelt = told("WABRIDGE__SEND__TIMEUOT").expect("nobody knows it");
        assert!(misspelt.contains("WABRIDGE__SEND__TIMEUOT names no setting"), "{misspelt}");
        let section = told("WABRIDGE__SEND").expect("it is a section");
        assert!(section.contains("a whole section") && section.contains("WABRIDGE__SEND__TIMEOUT"), "{section}");
        let file = Settings::from_text("[send]\ntimeuot = \"1s\"").expect_err("nobody knows the key").to_string();
        assert!(!file.contains("WABRIDGE__SEND"), "a section has no variable: {file}");
    }

    proptest! {
        /// Whatever somebody writes there: it is read, or told what is wrong with it.
        #[test]
        fn any_text_can_be_read_as_a_settings_file(text in any::<String>(), key in "[a-z_.]{0,20}", value in any::<String>()) {
            drop(Settings::from_text(&text).map_err(|error| error.to_string()));
            drop(Settings::from_text(&format!("[send]\n{key} = {value:?}")).map_err(|error| error.to_string()));
            let environment = [(format!("WABRIDGE__{}", key.to_uppercase()), value)];
            drop(Settings::from_layers(Some(DEFAULTS), environment).map_err(|error| error.to_string()));
        }
    }

    #[test]
    fn an_instance_always_has_a_name() {
        let mut settings = Settings::defaults();
        assert!(!settings.instance_id().is_empty());
        settings.instance.id = "one".to_owned();
        assert_eq!(settings.instance_id(), "one");
    }

    #[test]
    fn a_named_file_must_exist() {
        let error = Settings::load(Some(Path::new("/nowhere/at/all.toml"))).expect_err("there is no such file");
        assert!(matches!(error, SettingsError::NoFile(_)));
    }

    #[test]
    fn what_is_printed_holds_no_secret_and_can_be_read_again() {
        let file = "[security]\nmaster_key = \"c2VjcmV0LWtleQ==\"\nhttps_proxy = \"http://me:hush@proxy.example.com:3128\"\n\
                    [database]\nurl = \"postgres://wa:hush@db.example.com/wabridge\"";
        let settings = Settings::from_layers(Some(file), []).expect("all of it is known");

        let printed = settings.render();

        assert!(!printed.contains("hush") && !printed.contains("c2VjcmV0"), "{printed}");
        assert!(printed.contains("db.example.com/wabridge"), "{printed}");
        assert_eq!(format!("{settings:?}"), printed);
        Settings::from_layers(Some(&printed), []).expect("what we print is a settings file");
        assert_eq!(&*settings.database.url, "postgres://wa:hush@db.example.com/wabridge");
    }

    #[test]
    fn what_differs_from_the_defaults_is_told_without_secrets() {
        let file = "[send]\ntimeout = \"7s\"\n[database]\nurl = \"postgres://wa:hush@db.example.com/wabridge\"\n\
                    [alarms]\nsmtp_url = \"smtps://me:hush@mail.example.com\"\nto = [\"ops@example.com\"]";
        let differences = Settings::from_layers(Some(file), []).expect("all of it is known").differences();

        assert!(Settings::defaults().differences().is_empty());
        let told: Vec<String> =
            differences.iter().map(|one| format!("{} {} {}", one.key, one.value, one.default)).collect();
        assert_eq!(told.len(), 4, "{told:?}");
        assert!(told.iter().any(|one| one.starts_with("send.timeout \"7s\"")), "{told:?}");
        assert!(told.iter().any(|one| one == "alarms.smtp_url \"***\" \"\""), "{told:?}");
        assert!(!told.join(" ").contains("hush"), "{told:?}");
    }

    #[test]
    fn contradictions_are_told_together() {
        let file = "[instance]\nlease = \"10s\"\n[retention]\nevents = \"1d\"";
        let settings = Settings::from_layers(Some(file), []).expect("all of it is known");

        let error = settings.validate().expect_err("the lease is too short and the log too");

        assert!(error.source().is_none());
        let text = error.to_string();
        assert!(text.contains("instance.lease") && text.contains("retention.events"), "{text}");
    }
}

//! `wabridge user`: who may sign in to the console, for those who are locked out of it.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;
use wabridge::{
    app::open_existing_store,
    domain::operator::Role,
    services::operators::{Operators, Refusal},
    settings::Settings,
};

use super::{misused, not_found, report, this_user};

/// Say who may sign in to the console, and let somebody in
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge user link                       the set-up link again, as long as nobody has used one
  wabridge user add asha --role owner      prints a link; whoever opens it chooses asha’s password
  wabridge user reset asha                 asha forgot it: a new link, and all her sessions end
  wabridge user disable ben                ben may not sign in any more, and is signed out
  wabridge user list

A link works once, for console.link_lives. Nobody’s password passes through here, and the audit log has what was done. Roles: owner (everything,
and who else may), operator (the daily work), read-only (looks; telephone numbers and contents are masked).
Exit codes: 0; 1 it may not be done: the text says why; 2 the command line is wrong; 3 there is no such user.
--json prints: done and link; list prints users (name, role, disabled, has_password, signed_in_at).")]
pub(crate) struct UserArguments {
    #[command(subcommand)]
    command: UserCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum UserCommand {
    /// Print the set-up link, by which the first owner sets name and password
    Link,
    /// Add a user; prints the link by which they choose a password
    Add {
        name: String,
        /// owner, operator or read-only
        #[arg(long, default_value = "operator", value_parser = role)]
        role: Role,
    },
    /// Take a user’s password and sessions; prints the link by which they choose another
    Reset { name: String },
    /// Let a user sign in no more, and sign them out
    Disable { name: String },
    /// Let a disabled user sign in again
    Enable { name: String },
    /// List the users
    List,
}

const LIST: &str = "wabridge user list";

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| format!("{word} is no role: write owner, operator or read-only"))
}

pub(crate) async fn user(settings: &Settings, arguments: &UserArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let operators = Operators::new(store, settings);
    let actor = this_user();
    let json = arguments.json;
    let refused = |refusal| refused(refusal, LIST);
    match &arguments.command {
        UserCommand::Link => match operators.first_link().await? {
            Some(link) => tell_link(json, "the first owner sets name and password at", &link)?,
            None => anyhow::bail!(
                "somebody is there already: `wabridge user list`, then `wabridge user reset NAME` lets them in"
            ),
        },
        UserCommand::Add { name, role } => {
            let link = operators.add(&actor, name, *role).await.map_err(refused)?;
            tell_link(json, &format!("{name} is added ({}), and chooses a password at", role.as_str()), &link)?;
        }
        UserCommand::Reset { name } => {
            let link = operators.reset(&actor, name).await.map_err(refused)?;
            tell_link(json, &format!("{name} is signed out everywhere, and chooses a new password at"), &link)?;
        }
        UserCommand::Disable { name } => {
            operators.change(&actor, name, None, Some(true)).await.map_err(refused)?;
            report(json, &format!("{name} may not sign in any more\n"), &json!({"done": true}))?;
        }
        UserCommand::Enable { name } => {
            operators.change(&actor, name, None, Some(false)).await.map_err(refused)?;
            report(json, &format!("{name} may sign in again\n"), &json!({"done": true}))?;
        }
        UserCommand::List => list(&operators, json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

fn tell_link(json: bool, what: &str, link: &str) -> anyhow::Result<()> {
    report(json, &format!("{what}\n  {link}\nIt works once.\n"), &json!({"done": true, "link": link}))
}

async fn list(operators: &Operators, json: bool) -> anyhow::Result<()> {
    let people = operators.people(&this_user()).await.map_err(|refusal| refused(refusal, LIST))?;
    let mut text = String::new();
    for person in &people {
        let state = match (person.disabled_at, &person.password, person.signed_in_at) {
            (Some(at), _, _) => format!("disabled since {at}"),
            (None, None, _) => "has not chosen a password yet".to_owned(),
            (None, Some(_), Some(at)) => format!("signed in last at {at}"),
            (None, Some(_), None) => "has not signed in yet".to_owned(),
        };
        writeln!(text, "{:<24} {:<10} {state}", person.name, person.role.as_str())?;
    }
    if people.is_empty() {
        text.push_str("nobody yet: `wabridge user link` prints the set-up link\n");
    }
    let users = people.iter().map(|person| {
        json!({
            "name": person.name,
            "role": person.role.as_str(),
            "disabled": person.disabled_at.is_some(),
            "has_password": person.password.is_some(),
            "signed_in_at": person.signed_in_at.map(|at| at.to_string()),
        })
    });
    report(json, &text, &json!({"users": users.collect::<Vec<_>>()}))
}

/// `list`: the command that shows what there is.
pub(crate) fn refused(refusal: Refusal, list: &str) -> anyhow::Error {
    match refusal {
        Refusal::NotFound(text) => not_found(format!("{text}; `{list}` shows them")),
        Refusal::Invalid { text, .. } => misused(text),
        Refusal::NotAllowed(_)
        | Refusal::Problems(_)
        | Refusal::Conflict(_)
        | Refusal::Meanwhile(_)
        | Refusal::WrongPassword
        | Refusal::TooManyTries { .. }
        | Refusal::Busy
        | Refusal::Store(_) => refusal.into(),
    }
}

//! `wabridge token`: what programs show to `/api/v1`, for machines on which nobody opens a browser.

use std::{fmt::Write as _, process::ExitCode, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use wabridge::{
    app::open_existing_store,
    clock,
    domain::operator::{Permission, Permissions},
    services::operators::Operators,
    settings::Settings,
    store::tokens::ApiToken,
};

use super::{misused, report, this_user, user::refused};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Make, list and take back the tokens that programs show to the API
#[derive(Args)]
#[command(after_help = "\
Examples:
  wabridge token add \"nightly report\" --scope messages:read --days 90
  wabridge token add provisioning --scope configuration:manage --scope users:manage
  WABRIDGE_TOKEN=$(wabridge token add cron --scope messages:read --json | jq -r .secret)
  wabridge token list                      the newest first, with their scopes and when they end
  wabridge token revoke 3                  the token with this number in the list opens nothing any more

A token is shown once: only its hash is kept. It ends after --days, at most console.token_max, and may do what its scopes say; a wrong
scope is answered with all there are. The audit log has what was done.
Exit codes: 0; 1 it may not be done: the text says why; 2 the command line is wrong; 3 there is no such token.
--json prints: done, secret and token; list prints tokens (id, name, ending, scopes, created_at, created_by, expires_at, used_at, revoked_at, ended).")]
pub(crate) struct TokenArguments {
    #[command(subcommand)]
    command: TokenCommand,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum TokenCommand {
    /// Make a token, and print it
    Add {
        /// What it is for
        name: String,
        /// What it may do, such as messages:read; several by several --scope, or with commas
        #[arg(long, required = true, value_name = "SCOPE", value_delimiter = ',', value_parser = scope)]
        scope: Vec<Permission>,
        /// For how many days it is good
        #[arg(long, default_value_t = 30)]
        days: u32,
    },
    /// List the tokens
    List,
    /// Take a token back
    Revoke {
        /// Its number in the list
        id: i32,
    },
}

fn scope(word: &str) -> Result<Permission, String> {
    let known = || Permission::ALL.map(|scope| format!("  {:<22} {}", scope.as_str(), scope.meaning())).join("\n");
    Permission::parse(word).ok_or_else(|| format!("there is no such scope; there are\n{}", known()))
}

pub(crate) async fn token(settings: &Settings, arguments: &TokenArguments) -> anyhow::Result<ExitCode> {
    let store = open_existing_store(settings).await?;
    let operators = Operators::new(store, settings);
    let (actor, json) = (this_user(), arguments.json);
    let refused = |refusal| refused(refusal, "wabridge token list");
    match &arguments.command {
        TokenCommand::Add { name, scope, days } => {
            let scopes = Permissions::of(scope.iter().copied());
            let lives = DAY.checked_mul(*days).ok_or_else(|| misused("--days is too large"))?;
            let made = operators.make_token(&actor, name, scopes, lives).await.map_err(refused)?;
            let (secret, token) = (&made.secret, told(&made.token));
            let text = format!(
                "{secret}\nIt is not shown again. It may {}, and ends at {}.\n",
                made.token.scopes.words(),
                made.token.expires_at
            );
            report(json, &text, &json!({"done": true, "secret": secret, "token": token}))?;
        }
        TokenCommand::Revoke { id } => {
            operators.revoke_token(&actor, *id).await.map_err(refused)?;
            report(json, &format!("token {id} opens nothing any more\n"), &json!({"done": true}))?;
        }
        TokenCommand::List => list(&operators.tokens(&actor).await.map_err(refused)?, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(tokens: &[ApiToken], json: bool) -> anyhow::Result<()> {
    let mut text = String::new();
    for token in tokens {
        let state = match (token.revoked_at, token.used_at) {
            (Some(at), _) => format!("taken back at {at}"),
            (None, _) if is_over(token) => format!("expired at {}", token.expires_at),
            (None, Some(at)) => format!("used last at {at}, ends at {}", token.expires_at),
            (None, None) => format!("not used yet, ends at {}", token.expires_at),
        };
        writeln!(text, "{:>4}  {:<24} …{}  {state}", token.key, token.name, token.ending)?;
        writeln!(text, "      {}", token.scopes.words())?;
    }
    if tokens.is_empty() {
        text.push_str("none yet: `wabridge token add NAME --scope messages:read` makes one\n");
    }
    report(json, &text, &json!({"tokens": tokens.iter().map(told).collect::<Vec<_>>()}))
}

fn is_over(token: &ApiToken) -> bool {
    token.revoked_at.is_some() || token.expires_at <= clock::now()
}

fn told(token: &ApiToken) -> Value {
    json!({
        "id": token.key,
        "name": token.name,
        "ending": token.ending,
        "scopes": token.scopes.0.iter().map(|scope| scope.as_str()).collect::<Vec<_>>(),
        "created_at": token.created_at.to_string(),
        "created_by": token.created_by,
        "expires_at": token.expires_at.to_string(),
        "used_at": token.used_at.map(|at| at.to_string()),
        "revoked_at": token.revoked_at.map(|at| at.to_string()),
        "ended": is_over(token),
    })
}

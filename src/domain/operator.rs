//! Who works with the bridge, and what they may do.
//!
//! People sign in to the console and have a [`Role`]; programs show a token that has a set of [`Permission`]s. Everything that
//! is asked through either is asked by an [`Actor`], who has permissions, and whose name stands in the audit log. A
//! role is nothing but a set of permissions, so that console and API ask the same question.

use std::{collections::BTreeSet, net::IpAddr};

use super::outbound::stored;

/// What somebody may do. The words are the scopes of the API's tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Messages, callbacks, what was kept aside, and how things stand; people's numbers masked.
    ReadMessages,
    /// The same with whole telephone numbers and contents.
    ReadPersonal,
    ResendMessages,
    /// Also reading the lists of templates anew.
    SendTests,
    /// Pausing, resuming and cancelling what waits; holding, releasing and checking connections and numbers.
    ManageQueues,
    /// Also releasing a callback URL.
    ReplayCallbacks,
    /// Accounts, connections and numbers.
    ManageConfiguration,
    ReadAudit,
    /// Instances, database, settings without secrets, and alarms.
    ReadSystem,
    TestAlarms,
    /// Handing over and erasing one person's data.
    ManagePersons,
    /// Tags, names and wishes of contacts; closing, blocking and opening conversations.
    ManageContacts,
    /// People, their roles, and tokens.
    ManageUsers,
}

impl Permission {
    pub const ALL: [Self; 13] = [
        Self::ReadMessages,
        Self::ReadPersonal,
        Self::ResendMessages,
        Self::SendTests,
        Self::ManageQueues,
        Self::ReplayCallbacks,
        Self::ManageConfiguration,
        Self::ReadAudit,
        Self::ReadSystem,
        Self::TestAlarms,
        Self::ManagePersons,
        Self::ManageContacts,
        Self::ManageUsers,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadMessages => "messages:read",
            Self::ReadPersonal => "personal:read",
            Self::ResendMessages => "messages:resend",
            Self::SendTests => "tests:send",
            Self::ManageQueues => "queues:manage",
            Self::ReplayCallbacks => "callbacks:replay",
            Self::ManageConfiguration => "configuration:manage",
            Self::ReadAudit => "audit:read",
            Self::ReadSystem => "system:read",
            Self::TestAlarms => "alarms:test",
            Self::ManagePersons => "persons:manage",
            Self::ManageContacts => "contacts:manage",
            Self::ManageUsers => "users:manage",
        }
    }

    /// The permission by its word; `None` for one of another version.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == word)
    }

    /// What it allows, for people.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::ReadMessages => "read messages, callbacks and what was kept aside, telephone numbers masked",
            Self::ReadPersonal => "see whole telephone numbers and contents",
            Self::ResendMessages => "send messages again",
            Self::SendTests => "send test messages, check requests, and read the lists of templates anew",
            Self::ManageQueues => {
                "pause, resume and cancel messages that wait; hold, release and check connections and numbers"
            }
            Self::ReplayCallbacks => "tell callbacks again, and release callback URLs",
            Self::ManageConfiguration => {
                "add and change accounts, connections, numbers, webhooks and who is told of alarms"
            }
            Self::ReadAudit => "read the audit log",
            Self::ReadSystem => "see instances, database, alarms and settings without secrets",
            Self::TestAlarms => "send test alarms",
            Self::ManagePersons => "hand over and erase one person’s data",
            Self::ManageContacts => {
                "change tags, names and opt-ins of contacts, and close, block or reopen conversations"
            }
            Self::ManageUsers => "manage users and tokens",
        }
    }
}

/// A set of permissions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(pub BTreeSet<Permission>);

impl Permissions {
    pub fn of(permissions: impl IntoIterator<Item = Permission>) -> Self {
        Self(permissions.into_iter().collect())
    }

    pub fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Nobody can give what they do not have.
    pub fn covers(&self, others: &Self) -> bool {
        others.0.is_subset(&self.0)
    }

    /// The words, with spaces between them: as the tables keep them.
    pub fn words(&self) -> String {
        self.0.iter().map(|permission| permission.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// The reverse; a word of another version gives nothing.
    pub fn from_words(words: &str) -> Self {
        Self::of(words.split_whitespace().filter_map(Permission::parse))
    }
}

/// What a person does here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Everything, and who else may.
    Owner,
    /// The daily work.
    Operator,
    /// Looks, and sees nobody's number.
    ReadOnly,
}

stored!(Role { Owner = 1 "owner", Operator = 2 "operator", ReadOnly = 3 "read-only" });

impl Role {
    /// The role by its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == word)
    }

    pub fn permissions(self) -> Permissions {
        use Permission::{
            ManageConfiguration, ManageContacts, ManageQueues, ReadAudit, ReadMessages, ReadPersonal, ReadSystem,
            ReplayCallbacks, ResendMessages, SendTests, TestAlarms,
        };
        match self {
            Self::Owner => Permissions::of(Permission::ALL),
            Self::Operator => Permissions::of([
                ReadMessages,
                ReadPersonal,
                ResendMessages,
                SendTests,
                ManageQueues,
                ReplayCallbacks,
                ManageConfiguration,
                ManageContacts,
                ReadAudit,
                ReadSystem,
                TestAlarms,
            ]),
            Self::ReadOnly => Permissions::of([ReadMessages]),
        }
    }
}

/// Where something was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    Console,
    Api,
    CommandLine,
}

stored!(Via { Console = 1 "console", Api = 2 "API", CommandLine = 3 "command line" });

/// Who asks.
#[derive(Clone, Debug)]
pub struct Actor {
    /// As the audit log names them: a person's name, `token NAME`, or the user of the machine.
    pub name: String,
    pub via: Via,
    pub address: Option<IpAddr>,
    pub permissions: Permissions,
}

impl Actor {
    pub fn may(&self, permission: Permission) -> bool {
        self.permissions.has(permission)
    }

    /// Who asked for work that goes on when its process has died. What they may do was asked when it began.
    pub fn of_job(name: String, via: Via) -> Self {
        Self { name, via, address: None, permissions: Permissions::default() }
    }

    /// Whoever can run commands beside the database can do everything anyway.
    pub fn of_command_line(user: &str) -> Self {
        let permissions = Role::Owner.permissions();
        Self { name: format!("user {user} of the machine"), via: Via::CommandLine, address: None, permissions }
    }
}

/// A name signs many lines.
pub const NAME_CHARS_MAX: usize = 64;
/// A name that somebody chose, as it is kept; `Err` says what to change.
pub fn checked_name(text: &str) -> Result<String, String> {
    let name = text.trim().to_lowercase();
    let length = name.chars().count();
    if length == 0 {
        return Err("give a name, such as asha or asha@example.com".to_owned());
    }
    if length > NAME_CHARS_MAX {
        return Err(format!("a name has at most {NAME_CHARS_MAX} characters, and this one has {length}"));
    }
    match name.chars().find(|letter| !letter.is_alphanumeric() && !"._-+@".contains(*letter)) {
        Some(letter) => Err(format!("a name is letters, digits and . _ - + @; take out {letter:?}")),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_can_do_all_that_the_one_below_it_can() {
        let [owner, operator, read_only] = Role::ALL.map(Role::permissions);
        assert!(owner.covers(&operator) && operator.covers(&read_only));
        assert!(!operator.covers(&owner) && !read_only.covers(&operator));
        assert!(!read_only.has(Permission::ReadPersonal));
    }

    #[test]
    fn permissions_are_kept_as_words() {
        let some = Permissions::of([Permission::ReadAudit, Permission::ReadMessages]);
        assert_eq!(some.words(), "messages:read audit:read");
        assert_eq!(Permissions::from_words("audit:read messages:read moon:fly"), some);
        for role in Role::ALL {
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
    }

    #[test]
    fn a_name_is_the_same_however_it_is_typed() {
        assert_eq!(checked_name("  Asha@Example.com "), Ok("asha@example.com".to_owned()));
        for bad in ["", "   ", "a b", "<b>", &"x".repeat(NAME_CHARS_MAX + 1)] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}

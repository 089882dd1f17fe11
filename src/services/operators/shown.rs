//! Pages that are shown once, to whoever asked for the secret in them.

use super::{Operators, Refusal, Visitor};

impl Operators {
    /// Keeps a page until the visitor's browser comes for it.
    pub async fn keep_shown(&self, visitor: &Visitor, page: &str) -> Result<(), Refusal> {
        Ok(self.store.keep_shown(&visitor.session, page).await?)
    }

    /// The page that is kept for this visitor; there is none the next time.
    pub async fn take_shown(&self, visitor: &Visitor) -> Result<Option<String>, Refusal> {
        Ok(self.store.take_shown(&visitor.session).await?)
    }
}

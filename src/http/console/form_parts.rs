//! What forms have alike: what is needed, what rarely needs a change, and what was wrong.

use actix_web::http::StatusCode;

use super::{
    Trouble,
    fields::{Entered, Field, FieldPart, Filled},
};
use crate::services::{
    configure::Seen,
    operators::{FieldProblem, Refusal},
};

/// The fields of a form as they stand in its page.
pub(super) struct FormParts {
    /// Of a new one: what never changes.
    pub(super) name: Vec<FieldPart>,
    pub(super) needed: Vec<FieldPart>,
    pub(super) more: Vec<FieldPart>,
    /// Something among them is wrong, so they stand open.
    pub(super) more_open: bool,
    /// To be sent back.
    pub(super) version: String,
    /// What is wrong where no field shows it.
    pub(super) wrong: Vec<String>,
    pub(super) is_wrong: bool,
}

impl FormParts {
    /// `own`: fields that the page writes itself.
    pub(super) fn of(filled: &Filled, name: &[Field], needed: &[Field], more: &[Field], own: &[Field]) -> Self {
        let more_parts = filled.parts(more);
        Self {
            name: filled.parts(name),
            needed: filled.parts(needed),
            more_open: more.iter().any(|field| filled.is_wrong_at(&field.name))
                || more_parts.iter().any(FieldPart::must_come_again),
            more: more_parts,
            version: filled.version().to_owned(),
            wrong: filled.elsewhere(name.iter().chain(needed).chain(more).chain(own)),
            is_wrong: filled.is_wrong(),
        }
    }
}

/// What must be changed in what could not be saved, and the status that says so; `None` when it is saved. What somebody else changed
/// meanwhile is told at `whole`, which is no field of the form.
pub(super) fn to_change<T>(
    saved: Result<T, Refusal>,
    whole: &str,
) -> Result<Option<(StatusCode, Vec<FieldProblem>)>, Trouble> {
    match saved {
        Ok(_) => Ok(None),
        Err(Refusal::Problems(problems)) => Ok(Some((StatusCode::UNPROCESSABLE_ENTITY, problems))),
        Err(refusal @ Refusal::Meanwhile(_)) => {
            Ok(Some((StatusCode::CONFLICT, vec![FieldProblem::new(whole, refusal.to_string())])))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

/// What came of a form. The inner `Err` is the form again, with what was entered and what must be changed in it; what nothing in the
/// form can mend is a page of its own.
pub(super) fn outcome<T>(
    saved: Result<T, Refusal>,
    seen: Option<Seen>,
    entered: Entered,
) -> Result<Result<T, Filled>, Trouble> {
    match saved {
        Ok(saved) => Ok(Ok(saved)),
        Err(Refusal::Problems(problems)) => Ok(Err(Filled::with(seen, Some(entered), problems))),
        Err(Refusal::Invalid { field, text }) => {
            Ok(Err(Filled::with(seen, Some(entered), vec![FieldProblem::new(field, text)])))
        }
        Err(refusal) => Err(refusal.into()),
    }
}

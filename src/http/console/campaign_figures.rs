//! What CleverTap shows of a campaign: read as somebody types or pastes it, and held against what was counted here.

use serde::Deserialize;

use crate::domain::{
    reconciliation::{Compared, Figures},
    words::{few, thousands},
};

#[derive(Clone, Default, Deserialize)]
pub(super) struct FiguresForm {
    #[serde(default)]
    sent: String,
    #[serde(default)]
    delivered: String,
    #[serde(default)]
    read: String,
    #[serde(default)]
    failed: String,
    #[serde(default)]
    replies: String,
    #[serde(default)]
    pub(super) pasted: String,
    #[serde(default)]
    pub(super) period: String,
    #[serde(default)]
    pub(super) since: String,
    #[serde(default)]
    pub(super) until: String,
}

impl FiguresForm {
    /// What was typed goes before what was pasted; each field that holds no figure says so. And what was pasted and is none.
    pub(super) fn read(&self) -> (Figures, Vec<FigureField>, Option<String>) {
        let mut figures = Figures::default();
        let mut fields = Vec::new();
        for (name, typed, place) in [
            ("sent", &self.sent, &mut figures.sent),
            ("delivered", &self.delivered, &mut figures.delivered),
            ("read", &self.read, &mut figures.read),
            ("failed", &self.failed, &mut figures.failed),
            ("replies", &self.replies, &mut figures.replies),
        ] {
            let digits = typed.trim().replace([',', ' ', '.'], "");
            *place = digits.parse().ok();
            let wrong = (!digits.is_empty() && place.is_none()).then_some("A whole number, such as 9,801.");
            fields.push(FigureField { name, label: label(name), value: typed.clone(), wrong });
        }
        let (pasted, unread) = Figures::read(&self.pasted);
        (figures.or(pasted), fields, few(unread))
    }
}

/// CleverTap's word for a figure, and ours where it is another.
fn label(name: &str) -> &'static str {
    match name {
        "sent" => "Sent",
        "delivered" => "Delivered",
        "read" => "Viewed (read)",
        "failed" => "Errors (failed)",
        _ => "Replied (replies)",
    }
}

/// One of CleverTap's figures, as somebody typed it.
pub(super) struct FigureField {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) wrong: Option<&'static str>,
}

/// A figure of both sides.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) theirs: String,
    pub(super) ours: String,
    pub(super) difference: String,
    pub(super) same: bool,
    pub(super) why: Vec<String>,
}

pub(super) fn row(compared: Compared) -> Row {
    let Compared { name, theirs, ours, why } = compared;
    let difference = if theirs > ours {
        format!("+{}", thousands(theirs - ours))
    } else {
        format!("−{}", thousands(ours - theirs))
    };
    Row { name: label(name), theirs: thousands(theirs), ours: thousands(ours), difference, same: theirs == ours, why }
}

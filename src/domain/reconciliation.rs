//! What a platform shows of a campaign, held against what was counted here; and what may explain a difference.
//!
//! People copy figures out of a dashboard, with its words, signs and languages of numbers. What is understood of that is used, the
//! rest is told. Nothing here knows which side is right.

use super::{
    campaign::Funnel,
    words::{counted, thousands},
};

/// What somebody may paste.
pub const PASTED_CHARS_MAX: usize = 10_000;

/// Figures of the platform's dashboard; `None` is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    pub sent: Option<u64>,
    pub delivered: Option<u64>,
    pub read: Option<u64>,
    pub failed: Option<u64>,
    pub replies: Option<u64>,
}

/// What else is known of the campaign and of its account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings {
    /// Everything of the period was counted.
    pub complete: bool,
    /// Reports about messages of the account …
    pub reports: Untold,
    /// … and what people wrote to it, that the platform has not been told.
    pub replies: Untold,
}

/// What the platform has not been told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Untold {
    /// It will be.
    pub owed: u64,
    /// It will not be, unless somebody has it told again.
    pub dead: u64,
}

/// One figure of both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub name: &'static str,
    pub theirs: u64,
    pub ours: u64,
    /// What may explain the difference; empty when there is none.
    pub why: Vec<String>,
}

impl Figures {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What is not known here is taken from there.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            sent: self.sent.or(other.sent),
            delivered: self.delivered.or(other.delivered),
            read: self.read.or(other.read),
            failed: self.failed.or(other.failed),
            replies: self.replies.or(other.replies),
        }
    }

    /// Reads text from a dashboard or a spreadsheet: a word and the number that follows it, or a line of words above a line
    /// of numbers. The first number for a word counts. Also the lines of which nothing was understood.
    pub fn read(text: &str) -> (Self, Vec<&str>) {
        let end = text.char_indices().nth(PASTED_CHARS_MAX).map_or(text.len(), |(end, _)| end);
        let lines: Vec<&str> = text[..end].lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let mut figures = Self::default();
        let mut understood = vec![false; lines.len()];
        for (place, (words, numbers)) in lines.iter().zip(lines.iter().skip(1)).enumerate() {
            let separator = if words.contains('\t') { '\t' } else { ',' };
            let names: Vec<Option<Figure>> = words.split(separator).map(figure).collect();
            let is_head = names.len() > 1 && words.chars().all(|letter| !letter.is_ascii_digit());
            if is_head && names.iter().any(Option::is_some) {
                for (name, cell) in names.into_iter().zip(numbers.split(separator)) {
                    figures.note(name, number(cell));
                }
                understood[place..=place + 1].fill(true);
            }
        }
        let mut name = None;
        for (line, understood) in lines.iter().zip(&mut understood) {
            // A share behind a number is none of ours: "9,801 (95.8%)".
            for piece in line.split(['\t', ':', ';', '|', '=']).flat_map(with_numbers_apart) {
                match (figure(&piece), number(&piece)) {
                    (Some(known), _) => name = Some(known),
                    (None, Some(number)) => {
                        *understood |= name.is_some();
                        figures.note(name.take(), Some(number));
                    }
                    (None, None) => name = None,
                }
            }
            *understood |= name.is_some();
        }
        let unread = lines.into_iter().zip(understood).filter_map(|(line, understood)| (!understood).then_some(line));
        (figures, unread.collect())
    }

    fn note(&mut self, name: Option<Figure>, number: Option<u64>) {
        let Some((name, number)) = name.zip(number) else { return };
        let place = match name {
            Figure::Sent => &mut self.sent,
            Figure::Delivered => &mut self.delivered,
            Figure::Read => &mut self.read,
            Figure::Failed => &mut self.failed,
            Figure::Replies => &mut self.replies,
        };
        place.get_or_insert(number);
    }
}

#[derive(Clone, Copy)]
enum Figure {
    Sent,
    Delivered,
    Read,
    Failed,
    Replies,
}

/// The words that dashboards use.
fn figure(text: &str) -> Option<Figure> {
    let word = text.trim().trim_matches(['"', '*']).to_lowercase();
    let words: Vec<&str> = word.split_whitespace().collect();
    match words.as_slice() {
        ["sent"] | ["total", "sent"] | ["messages", "sent"] => Some(Figure::Sent),
        ["delivered"] | ["total", "delivered"] => Some(Figure::Delivered),
        ["read" | "viewed" | "opened" | "views" | "seen"] | ["total", "viewed" | "read"] => Some(Figure::Read),
        ["failed" | "errors" | "failures" | "undelivered" | "error"] | ["total", "errors" | "failed"] => {
            Some(Figure::Failed)
        }
        ["replied" | "replies" | "responded"] => Some(Figure::Replies),
        _ => None,
    }
}

/// `Sent 10,234` in two pieces, so that words and numbers need no sign between them.
fn with_numbers_apart(text: &str) -> Vec<String> {
    let mut pieces: Vec<String> = vec![];
    let mut was_number = None;
    for word in text.split_whitespace() {
        let is_number = word.starts_with(|letter: char| letter.is_ascii_digit() || letter == '(');
        match (pieces.last_mut(), was_number == Some(is_number)) {
            (Some(last), true) if !is_number => {
                last.push(' ');
                last.push_str(word);
            }
            (_, _) => pieces.push(word.to_owned()),
        }
        was_number = Some(is_number);
    }
    pieces
}

/// A whole number with the signs that group its digits; shares and dates are none.
fn number(text: &str) -> Option<u64> {
    let text = text.trim().trim_matches('"');
    let digits: String =
        text.chars().filter(|letter| !matches!(letter, ',' | '.' | ' ' | '\u{a0}' | '\'' | '_')).collect();
    digits.parse().ok()
}

/// Holds each figure that is known against ours.
pub fn compare(figures: &Figures, funnel: &Funnel, around: &Surroundings) -> Vec<Compared> {
    let reports = (&around.reports, "report", "reports");
    let replies = (&around.replies, "inbound message", "inbound messages");
    let one = |name, theirs: Option<u64>, ours, untold, why: &dyn Fn(u64, &mut Vec<String>)| {
        let theirs = theirs?;
        let mut reasons = Vec::new();
        if theirs != ours {
            why(theirs, &mut reasons);
            general((theirs, ours), around.complete, untold, &mut reasons);
        }
        Some(Compared { name, theirs, ours, why: reasons })
    };
    let compared = [
        one("sent", figures.sent, funnel.sent, reports, &|theirs, why| explain_sent(theirs, funnel, why)),
        one("delivered", figures.delivered, funnel.delivered, reports, &|_, _| {}),
        one("read", figures.read, funnel.read, reports, &|theirs, why| {
            if theirs < funnel.read {
                why.push(
                    "A reading may be reported days later, and a dashboard may stop counting before that.".to_owned(),
                );
            }
        }),
        one("failed", figures.failed, funnel.failed, reports, &|theirs, why| {
            if theirs > funnel.failed {
                why.push(
                    "Requests that were refused at once (code 2000 to 2004) are failures there, and were never accepted here."
                        .to_owned(),
                );
            }
        }),
        one("replies", figures.replies, funnel.replies, replies, &|_, why| {
            why.push(
                "Here an answer counts when it quotes a message of the campaign; a dashboard may count any answer within some days."
                    .to_owned(),
            );
        }),
    ];
    compared.into_iter().flatten().collect()
}

fn explain_sent(theirs: u64, funnel: &Funnel, why: &mut Vec<String>) {
    let not_sent = thousands(funnel.accepted - funnel.sent);
    if theirs == funnel.accepted {
        let open = counted(funnel.open, "is still open", "are still open");
        why.push(format!("It is what was accepted here: {not_sent} of these WhatsApp has not sent ({open})."));
    } else if theirs > funnel.accepted {
        why.push(format!(
            "It is {} more than were accepted here: those were refused, or never arrived.",
            thousands(theirs - funnel.accepted)
        ));
    }
}

/// What may explain any difference.
fn general(
    (theirs, ours): (u64, u64),
    complete: bool,
    (untold, one, many): (&Untold, &str, &str),
    why: &mut Vec<String>,
) {
    if !complete {
        why.push("Not everything is counted here yet: look again when the page says so.".to_owned());
    }
    let untold = if theirs < ours { *untold } else { Untold::default() };
    let of_the_account = |count: u64| {
        let noun = if count == 1 { one } else { many };
        format!("{} {noun} of the account", thousands(count))
    };
    if untold.owed > 0 {
        let has = if untold.owed == 1 { "has" } else { "have" };
        why.push(format!("{} {has} not been told yet.", of_the_account(untold.owed)));
    }
    if untold.dead > 0 {
        let (lies, them) = if untold.dead == 1 { ("lies", "it") } else { ("lie", "them") };
        why.push(format!("{} could not be told and {lies} aside: tell {them} again.", of_the_account(untold.dead)));
    }
    if theirs > ours {
        why.push("The dashboard may cover a longer time than the period that is counted here.".to_owned());
    }
    if why.is_empty() {
        why.push("Everything has been told. The dashboard may count people instead of messages, or days of another time zone.".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_as_dashboards_and_spreadsheets_write_them() {
        let wanted =
            Figures { sent: Some(10_234), delivered: Some(9_801), read: Some(7_005), failed: Some(433), replies: None };
        for text in [
            "Sent\n10,234\nDelivered\n9,801 (95.8%)\nViewed\n7,005\nErrors\n433\nClicked\n12",
            "Sent: 10.234; Delivered: 9.801; Read: 7.005; Failed: 433",
            "Campaign\tSent\tDelivered\tViewed\tErrors\nWinter\t10234\t9801\t7005\t433",
            "sent 10 234",
            "Total sent = 10'234 | total delivered = 9'801 | Opened = 7'005 | Undelivered = 433",
        ] {
            let (read, _) = Figures::read(text);
            if text == "sent 10 234" {
                assert_eq!(read.sent, Some(10), "a space may stand between two numbers");
            } else {
                assert_eq!(read, wanted, "{text}");
            }
        }
        assert!(Figures::read("nothing of this is a figure, 2026-11-20").0.is_empty());
        assert_eq!(Figures::read("Sent,Delivered\n12,11").0.delivered, Some(11));
    }

    #[test]
    fn what_is_no_figure_is_told() {
        for (text, unread) in [
            ("Sent\n10,234\n\nClicked\n 12 \nDelivered 9,801 (95.8%)", vec!["Clicked", "12"]),
            ("Winter sale\nSent,Delivered\n12,11", vec!["Winter sale"]),
            ("Sent many", vec!["Sent many"]),
            ("Sent: 5; Clicked: 3", vec![]),
        ] {
            assert_eq!(Figures::read(text).1, unread, "{text}");
        }
    }

    #[test]
    fn a_difference_is_told_with_what_may_explain_it() {
        let funnel = Funnel { accepted: 10, sent: 8, delivered: 7, failed: 1, open: 1, ..Funnel::default() };
        let around = Surroundings {
            complete: true,
            reports: Untold { owed: 3_000, dead: 0 },
            replies: Untold { owed: 0, dead: 1 },
        };
        let figures =
            Figures { sent: Some(10), delivered: Some(5), failed: Some(1), replies: Some(1), ..Figures::default() };
        let funnel = Funnel { replies: 2, ..funnel };
        let compared = compare(&figures, &funnel, &around);

        assert_eq!(compared.iter().map(|one| one.name).collect::<Vec<_>>(), ["sent", "delivered", "failed", "replies"]);
        assert!(compared[0].why[0].starts_with("It is what was accepted here: 2 of these"), "{compared:?}");
        assert_eq!(compared[1].why, ["3,000 reports of the account have not been told yet."]);
        assert!(compared[2].why.is_empty());
        assert_eq!(
            compared[3].why[1..],
            ["1 inbound message of the account could not be told and lies aside: tell it again."]
        );
    }

    #[test]
    fn no_difference_is_left_without_a_word() {
        let funnel = Funnel { accepted: 2, sent: 2, delivered: 2, read: 2, ..Funnel::default() };
        let figures = Figures { read: Some(1), delivered: Some(1), ..Figures::default() };
        let compared = compare(&figures, &funnel, &Surroundings { complete: true, ..Surroundings::default() });
        assert!(compared.iter().all(|one| !one.why.is_empty()), "{compared:?}");
    }
}

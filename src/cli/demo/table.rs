//! The funnel as text, in lines that fit a narrow terminal.

use std::{fmt::Write as _, time::Duration};

use wabridge::domain::words::thousands;

use super::{Times, funnel::Funnel, offer::CONNECTIONS, world::UNKNOWN_GRACE_S};

/// Where explanations are broken.
const LINE_CHARS: usize = 80;
/// Where the figures end.
const FIGURES_END: usize = 34;
/// Where explanations begin.
const WORDS_BEGIN: usize = FIGURES_END + 2;
/// CleverTap counts an answer after this as an error.
const PATIENCE: Duration = Duration::from_secs(1);
/// What CleverTap is told when no evidence came.
const NO_EVIDENCE_CODE: u32 = 1009;

pub(super) fn render(funnel: &Funnel, times: &Times, messages_per_second: u32) -> String {
    let mut table = Table::default();
    answers(funnel, &mut table);
    news(funnel, &mut table);
    replies(funnel, &mut table);
    speed(funnel, times, messages_per_second, &mut table);
    table.0
}

fn answers(funnel: &Funnel, table: &mut Table) {
    table.title("What CleverTap was answered");
    table.row(0, "requests", funnel.offered, "");
    table.row(1, "accepted", funnel.accepted, "");
    table.row(1, "repeats recognised", funnel.repeats, "the first answer again, and no second message");
    table.row(1, "refused at once", funnel.refused_total(), "by CleverTap’s code, with the first message of each");
    for (code, said) in &funnel.refused {
        table.row(2, &code.to_string(), said.count, &said.first);
    }
    for (why, count) in &funnel.unanswered {
        table.row(1, "no answer", *count, why);
    }
}

fn news(funnel: &Funnel, table: &mut Table) {
    let some = |count: usize, what: &str| format!("{} of them {what}", thousands(count));
    table.title("What became of the messages");
    table.row(0, "accepted", funnel.accepted, &some(funnel.taken, "sent to WhatsApp"));
    table.row(1, "delivered", funnel.delivered, &some(funnel.read, "read"));
    table.row(1, "failed", funnel.failed_total(), "by CleverTap’s code, with the first title of each");
    for (code, said) in &funnel.failed {
        table.row(2, &code.to_string(), said.count, &said.first);
    }
    table.row(1, "sent, and no news since", funnel.only_sent, "perhaps the phone is off");
    table.row(1, "still without news", funnel.silent, "WhatsApp took them and reported nothing so far");
    if funnel.nobodys > 0 {
        let why =
            "their message’s answer was lost, and this provider gives no id of ours back: kept, and told of nobody";
        table.row(0, "reports of nobody’s", funnel.nobodys, why);
    }
}

fn replies(funnel: &Funnel, table: &mut Table) {
    let count = |kind: &str| funnel.replies.get(kind).copied().unwrap_or_default();
    table.title("What people answered");
    let context = format!("{} with the message that they answer", thousands(funnel.replies_in_context));
    table.row(0, "replies relayed", funnel.replies.values().sum(), &context);
    table.row(1, "texts", count("text"), "");
    table.row(1, "button taps", count("button"), "");
}

fn speed(funnel: &Funnel, times: &Times, messages_per_second: u32, table: &mut Table) {
    let late = times.answers.iter().filter(|took| **took > PATIENCE).count();
    let late = if late == 0 { "None".to_owned() } else { thousands(late) };
    table.title("How long it took");
    table.text(&format!(
        "The requests were answered in {}: {} a second over {CONNECTIONS} connections, half of them within {}, 99 of 100 \
         within {}, the slowest after {}. {late} took longer than the second that CleverTap allows.",
        seconds(times.offering),
        thousands(per_second(funnel.offered, times.offering)),
        milliseconds(percentile(&times.answers, 50)),
        milliseconds(percentile(&times.answers, 99)),
        milliseconds(percentile(&times.answers, 100)),
    ));
    table.text(&format!(
        "WhatsApp had the last message after {}: {} sends a second, where the number may make {} and the bridge stays a \
         little below. Everything was settled and reported back after {}.",
        seconds(times.sending),
        thousands(per_second(funnel.sends, times.sending)),
        thousands(messages_per_second as usize),
        seconds(times.whole),
    ));
    if funnel.failed.contains_key(&NO_EVIDENCE_CODE) {
        table.text(&format!(
            "Of some messages nobody knew whether they had gone out, because the connection broke: for evidence the bridge \
             waits {UNKNOWN_GRACE_S} s here, and two minutes by default.",
        ));
    }
}

#[derive(Default)]
struct Table(String);

impl Table {
    fn title(&mut self, title: &str) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.line(&format!("{gap}{title}"));
    }

    /// Where there is nothing, there is nothing to explain.
    fn row(&mut self, depth: usize, name: &str, count: usize, words: &str) {
        let name = format!("{}{name}", "  ".repeat(depth + 1));
        let figures =
            format!("{name}{:>width$}", thousands(count), width = FIGURES_END.saturating_sub(name.chars().count()));
        let words = if count == 0 { "" } else { words };
        let mut lines = wrapped(words, LINE_CHARS - WORDS_BEGIN).into_iter();
        match lines.next() {
            Some(first) => self.line(&format!("{figures}  {first}")),
            None => self.line(&figures),
        }
        for line in lines {
            self.line(&format!("{:WORDS_BEGIN$}{line}", ""));
        }
    }

    fn text(&mut self, text: &str) {
        for line in wrapped(text, LINE_CHARS - 2) {
            self.line(&format!("  {line}"));
        }
    }

    fn line(&mut self, line: &str) {
        writeln!(self.0, "{line}").expect("writing to a String cannot fail");
    }
}

/// Broken between words; a word that is longer than a line stands alone.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= chars_max => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) | None => lines.push(word.to_owned()),
        }
    }
    lines
}

fn seconds(duration: Duration) -> String {
    if duration < Duration::from_secs(1) { milliseconds(duration) } else { format!("{:.1} s", duration.as_secs_f64()) }
}

fn milliseconds(duration: Duration) -> String {
    format!("{} ms", thousands(duration.as_millis().max(1)))
}

fn per_second(count: usize, duration: Duration) -> usize {
    (count as f64 / duration.as_secs_f64().max(0.001)) as usize
}

/// Of times that are sorted.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_time_that_was_measured() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |percent| percentile(&times, percent).as_millis();

        assert_eq!((at(50), at(99), at(100)), (100, 198, 200));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }

    #[test]
    fn long_explanations_stay_in_their_column() {
        let mut table = Table::default();

        table.row(1, "refused", 1_000, &"word ".repeat(30));

        let lines: Vec<&str> = table.0.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= LINE_CHARS), "{}", table.0);
        assert!(lines[0].starts_with("    refused") && lines[0][..WORDS_BEGIN].ends_with(" 1,000  "), "{}", table.0);
        assert!(lines[1..].iter().all(|line| line[..WORDS_BEGIN].trim().is_empty()));
    }
}

//! A template as a phone shows it: pieces of text with their classes, and signs in the place of pictures, which come from elsewhere
//! and are not loaded.

use askama::Template;

use crate::domain::{
    outbound::MediaKind,
    preview::{ButtonLook, ButtonView, CardView, HeaderView, Marks, Preview, Span},
};

#[derive(Template)]
#[template(path = "console/preview.html")]
pub(super) struct Bubble {
    header: Option<Head>,
    offer: Option<String>,
    body: Vec<Piece>,
    footer: Option<String>,
    buttons: Vec<Button>,
    cards: Vec<Card>,
}

#[derive(Default)]
struct Card {
    header: Option<Head>,
    body: Vec<Piece>,
    buttons: Vec<Button>,
}

/// Letters that are drawn alike.
pub(super) struct Piece {
    pub(super) class: String,
    pub(super) text: String,
}

/// A header is a text, or a sign with something below it.
#[derive(Default)]
struct Head {
    text: Vec<Piece>,
    /// A path within 24 by 24.
    sign: &'static str,
    kind: String,
    below: String,
}

struct Button {
    /// A path within 16 by 16.
    sign: &'static str,
    label: String,
    value: String,
}

const PICTURE: &str = "M4 5h16v14H4zM4 16l5-5 4 4 3-3 4 4M15.5 9.5h.1";
const FILM: &str = "M3.5 6h17v12h-17zM10 9.5v5l4.5-2.5z";
const SHEET: &str = "M6 3h8l4 4v14H6zM14 3v4h4M9 12h6M9 15.5h6";
const PIN: &str =
    "M12 21c-4-4.6-6-7.8-6-11a6 6 0 1 1 12 0c0 3.2-2 6.4-6 11zM12 12.2a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4z";

pub(super) fn bubble(preview: Preview) -> Bubble {
    let Preview { header, limited_time_offer, body, footer, buttons, cards } = preview;
    Bubble {
        header: header.map(head),
        offer: limited_time_offer,
        body: pieces(body),
        footer,
        buttons: buttons.into_iter().map(button).collect(),
        cards: cards.into_iter().map(card).collect(),
    }
}

fn card(card: CardView) -> Card {
    let CardView { header, body, buttons } = card;
    Card { header: header.map(head), body: pieces(body), buttons: buttons.into_iter().map(button).collect() }
}

pub(super) fn pieces(spans: Vec<Span>) -> Vec<Piece> {
    let piece = |span: Span| {
        let Marks { bold, italic, struck, mono } = span.marks;
        let classes = [(bold, "b"), (italic, "i"), (struck, "s"), (mono, "m"), (span.variable, "v")];
        let classes: Vec<&str> = classes.into_iter().filter(|(is, _)| *is).map(|(_, class)| class).collect();
        Piece { class: classes.join(" "), text: span.text }
    };
    spans.into_iter().map(piece).collect()
}

fn head(header: HeaderView) -> Head {
    let sign = |sign, kind: &str, below: Option<String>| Head {
        sign,
        kind: kind.to_owned(),
        below: below.unwrap_or_default(),
        text: vec![],
    };
    match header {
        HeaderView::Text(spans) => Head { text: pieces(spans), ..Head::default() },
        HeaderView::Media { kind, name } => match kind {
            MediaKind::Image => sign(PICTURE, "Image", name),
            MediaKind::Video => sign(FILM, "Video", name),
            MediaKind::Audio => sign(FILM, "Audio", name),
            MediaKind::Document => sign(SHEET, "Document", name),
        },
        HeaderView::Location { name, address } => {
            let below: Vec<String> = [name, address].into_iter().flatten().collect();
            sign(PIN, "Location", Some(below.join(", ")))
        }
        HeaderView::Other(word) => sign(SHEET, &word.to_lowercase(), None),
    }
}

fn button(button: ButtonView) -> Button {
    let sign = match button.look {
        ButtonLook::Reply => "M7 4 3 8l4 4M3.5 8H9a4 4 0 0 1 4 4",
        ButtonLook::Link => "M9 3h4v4M13 3 7.5 8.5M11 9v4H3V5h4",
        ButtonLook::Call => "M3 3.5 6 3l1.2 3-1.7 1.2a8 8 0 0 0 3.3 3.3L10 8.8l3 1.2-.5 3C7 13.5 2.5 9 3 3.5z",
        ButtonLook::Copy => "M5.5 5.5h7v7h-7zM3.5 10.5v-7h7",
        ButtonLook::Other => "M3 4h10M3 8h10M3 12h10",
    };
    Button { sign, label: button.label, value: button.value.unwrap_or_default() }
}

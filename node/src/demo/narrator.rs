//! What the demo says while it plays: lines for people, nothing when a program listens.

use std::io::{self, Write as _};

use client::pos::Quote;
use proto::roster::Role;

use super::cast::Card;
use super::outbound::{Message, hexadecimal};

/// Speaks, or does not.
#[derive(Clone, Copy)]
pub struct Narrator {
    pub speaks: bool,
}

impl Narrator {
    /// A scene begins.
    pub fn scene(self, title: &str) {
        self.say(&format!("\n{title}"));
    }

    /// One line of a scene.
    pub fn line(self, line: &str) {
        self.say(&format!("  {line}"));
    }

    /// What a scene has shown, in a sentence or two.
    pub fn shown(self, what: &str) {
        self.say(&format!("  -> {what}"));
    }

    /// The lines of a quote, with who pays what.
    pub fn quote(self, quote: &Quote) {
        self.line("code     group  price     AMO       AMC       left to pay");
        for line in quote.lines() {
            let item = &line.product.item;
            self.line(&format!(
                "{}  {}    {:>8}  {:>8}  {:>8}  {:>8}  {}",
                item.code,
                line.product.grouped_code.as_str(),
                item.price.to_euros(),
                line.paid_by(Role::Amo).to_euros(),
                line.paid_by(Role::Amc).to_euros(),
                line.rest().to_euros(),
                line.refusal.map_or("", |refusal| refusal.reason.french()),
            ));
        }
        self.line(&format!(
            "left to pay in all: {} EUR",
            quote.rest().to_euros()
        ));
    }

    /// What stayed in the shop, and beside it every byte that left.
    pub fn stayed_and_left(self, card: &Card, codes: &str, messages: &[Message]) {
        self.line("stayed in the shop                     left the shop");
        let stayed = [
            format!("NIR            {}", card.nir),
            format!(
                "birth date     {} rank {}",
                card.birth_date, card.birth_rank
            ),
            format!("payer number   {}", card.payer_number),
            format!("member number  {}", card.member_number),
            format!("LPP codes      {codes}"),
        ];
        let mut stayed = stayed.iter();
        for message in messages {
            let title = format!("{}, {} bytes", message.method, message.bytes.len());
            for left in std::iter::once(title).chain(hexadecimal(&message.bytes)) {
                let beside = stayed.next().map_or("", String::as_str);
                self.line(&format!("{beside:<38} {left}"));
            }
        }
        stayed.for_each(|rest| self.line(rest));
    }

    fn say(self, text: &str) {
        if self.speaks {
            // Nobody listens any more: the play goes on, its exit code says how it went.
            let _ = writeln!(io::stdout().lock(), "{text}");
        }
    }
}

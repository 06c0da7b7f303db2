//! Pages that commands write for people: one file each, that asks for nothing and runs nothing.
//!
//! A page is in French and in English; what is shown is chosen without a script. Its policy allows
//! its own style, by its hash, and nothing else: opened from any disk it can reach nobody. All text is
//! escaped where it stands.

pub mod audit;
mod drawing;
pub mod evidence;
pub mod incident;
mod language;
mod states;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use self::language::Language;

const STYLE: &str = include_str!("page.css");

/// A whole page with its title and what it says in each language.
fn document(title: &str, body: impl Fn(Language) -> Markup) -> String {
    let style = BASE64_STANDARD.encode(Sha256::digest(STYLE));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    );
    let languages = [Language::French, Language::English];
    let markup = html! {
        (DOCTYPE)
        html lang="fr" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="referrer" content="no-referrer";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                nav aria-label="Langue / Language" {
                    @for language in languages {
                        @let code = language.code();
                        span lang=(code) {
                            input type="radio" name="language" id=(code)
                                checked[language == Language::French];
                            label for=(code) { (language.say("Français", "English")) }
                        }
                    }
                }
                main {
                    @for language in languages {
                        article class=(language.code()) lang=(language.code()) { (body(language)) }
                    }
                }
            }
        }
    };
    markup.into_string() + "\n"
}

/// What is said first: yes or no, in a sentence.
fn verdict(holds: bool, sentence: &str, more: &str) -> Markup {
    html! {
        section.verdict.good[holds].bad[!holds] {
            p.sentence { span.mark aria-hidden="true" { (if holds { "✓" } else { "✗" }) } " " (sentence) }
            @if !more.is_empty() { p { (more) } }
        }
    }
}

/// A figure with its name.
fn tile(name: &str, figure: &str, more: &str) -> Markup {
    html! {
        div {
            dt { (name) }
            dd {
                span.figure { (figure) }
                @if !more.is_empty() { span.more { (more) } }
            }
        }
    }
}

/// A part of the page with its heading; wide content scrolls by itself.
fn card(id: &str, language: Language, heading: &str, content: &Markup) -> Markup {
    let id = format!("{id}-{}", language.code());
    html! {
        section.card {
            h2 id=(id) { (heading) }
            div.wide tabindex="0" role="group" aria-labelledby=(id) { (content) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_allows_its_own_style_alone_and_escapes_what_it_is_given() {
        let hostile = "<script>alert(1)</script>";
        let page = document(hostile, |language| verdict(true, hostile, language.code()));
        assert!(!page.contains("<script"));
        assert_eq!(page.matches("&lt;script&gt;").count(), 3);
        let (_, style) = page.split_once("<style>").unwrap();
        let (style, _) = style.split_once("</style>").unwrap();
        let hash = BASE64_STANDARD.encode(Sha256::digest(style));
        assert!(page.contains(&format!("style-src 'sha256-{hash}'")));
        for forbidden in ["http://", "https://", "style=", "unsafe", "url(", "@import"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
    }
}

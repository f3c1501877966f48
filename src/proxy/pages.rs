//! What a visitor sees while, or because, there is no container to ask.
//!
//! Everything a branch may have written (its name, a service's name, the reason) is hostile text.

use std::fmt::Write as _;
use std::sync::LazyLock;

use data_encoding::BASE64;
use http::header::{ACCEPT, CONTENT_SECURITY_POLICY, REFRESH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::answer::{AnswerBody, with_content};
use super::forward::Unreachable;
use super::mark;
use super::signpost::Signpost;
use super::text::escape;
use super::words::{LOG, command, place, words};
use crate::domain::dashboard::{Origin, Place};
use crate::domain::environment::Phase;
use crate::domain::route::{Page, Route};
use crate::domain::text::{clean_end, clean_line, shell_word};

/// Seconds until a page that will pass asks again.
const RETRY_SECONDS: &str = "2";
/// A reason may quote the last hundred lines of a log.
const REASON_LIMIT: usize = 16_000;
const NAME_LIMIT: usize = 300;
/// What stands before a command that a link does the same as.
const AT_A_COMMAND_LINE: &str = "or at a command line";

const STYLE: &str = include_str!("page.css");

/// Nothing but the style above and the script that looks again, both named by their digests: no image, no frame, no form.
static CONTENT_POLICY: LazyLock<Option<HeaderValue>> = LazyLock::new(|| {
    let style = BASE64.encode(&Sha256::digest(STYLE));
    let script = &*mark::SCRIPT_DIGEST;
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{style}'; script-src {script}; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    HeaderValue::try_from(policy).ok()
});

/// One page: what it says, and what it tells machines.
struct Note<'a> {
    status: StatusCode,
    /// It passes by itself: the page looks again, machines are told when to.
    passes: bool,
    headline: &'static str,
    explanation: &'a str,
    /// `REPO/BRANCH`.
    name: Option<&'a str>,
    reason: Option<&'a str>,
    /// What somebody with the command line does next: what for, and the command.
    command: Option<(&'static str, String)>,
    /// The page of the dashboard that says more: what it is called, and where.
    place: Option<(&'static str, Place)>,
    /// By what the page knows itself, where something tells when it is not true any more.
    mark: Option<String>,
}

/// Writes pages.
pub(super) struct Pages {
    signpost: Signpost,
}

/// Who reads an answer of the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Browser,
    Program,
}

impl Reader {
    /// A browser asks for HTML by name; `*/*` alone is a program.
    pub(super) fn of(request: &HeaderMap) -> Self {
        let names_html = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("text/html"));
        if request.get_all(ACCEPT).iter().any(names_html) { Self::Browser } else { Self::Program }
    }
}

impl Pages {
    pub(super) fn new(dashboard: Option<Origin>) -> Self {
        Self { signpost: Signpost::new(dashboard) }
    }

    /// From now on the dashboard is there.
    pub(super) fn link_to(&self, dashboard: Option<Origin>) {
        self.signpost.turn(dashboard);
    }

    /// Where the environment stands.
    pub(super) fn phase(&self, route: &Route, page: &Page, reader: Reader) -> Response<AnswerBody> {
        let (status, passes, headline, explanation) = words(page);
        let reason = page.reason.as_deref();
        let (name, mark) = (Some(route.name.as_str()), Some(mark::mark(page)));
        let (command, place) = (command(page, &route.name), place(page, &route.name));
        self.answer(
            &Note { status, passes, headline, explanation, name, reason, command, place, mark },
            reader,
        )
    }

    /// The container is being replaced and did not come back while the request was held.
    pub(super) fn updating(&self, route: &Route, reader: Reader) -> Response<AnswerBody> {
        let page = Page { phase: Phase::Updating, reason: None, outcome: None, is_tired: false };
        self.phase(route, &page, reader)
    }

    /// The daemon has only just started and knows no branch yet.
    pub(super) fn starting(&self, reader: Reader) -> Response<AnswerBody> {
        let note = Note {
            status: StatusCode::SERVICE_UNAVAILABLE,
            passes: true,
            headline: "Starting",
            explanation: "drey itself is starting and will know its branches in a moment.",
            name: None,
            reason: None,
            command: None,
            place: None,
            mark: None,
        };
        self.answer(&note, reader)
    }

    /// No branch has this hostname.
    pub(super) fn unknown(&self, host: &str, reader: Reader) -> Response<AnswerBody> {
        let explanation = format!(
            "No branch has the address {host}. It may be misspelt, the branch may not have been pushed yet, or it is \
             gone for good."
        );
        let note = Note {
            status: StatusCode::NOT_FOUND,
            passes: false,
            headline: "Nothing lives here",
            explanation: &explanation,
            name: None,
            reason: None,
            command: None,
            place: None,
            mark: None,
        };
        self.answer(&note, reader)
    }

    /// The branch is not for whoever asks: how to get in, and nothing of how it stands.
    pub(super) fn not_for_everybody(
        &self,
        status: StatusCode,
        explanation: &str,
        reader: Reader,
    ) -> Response<AnswerBody> {
        let headline = "Not for everybody";
        let (name, reason, command, place, mark) = (None, None, None, None, None);
        self.answer(
            &Note { status, passes: false, headline, explanation, name, reason, command, place, mark },
            reader,
        )
    }

    /// The container runs, as far as is known, but gives no answer.
    pub(super) fn unreachable(
        &self,
        route: &Route,
        why: &Unreachable,
        reader: Reader,
    ) -> Response<AnswerBody> {
        if matches!(why, Unreachable::LaidDown) {
            return self.laid_down(route, reader);
        }
        let reason = why.told();
        let service = on_one_line(&route.service, NAME_LIMIT);
        let explanation = format!(
            "The service {service} of this branch does not answer. It may have crashed or still be starting: try \
             again in a moment, or look at its log."
        );
        let note = Note {
            status: why.status(),
            passes: false,
            headline: "No answer from the branch",
            explanation: &explanation,
            name: Some(&route.name),
            reason: reason.as_deref(),
            command: Some((LOG, format!("drey env log {}", shell_word(&route.name)))),
            place: Place::of(&route.name, Place::Log).map(|place| (LOG, place)),
            mark: None,
        };
        self.answer(&note, reader)
    }

    /// Its containers were frozen before one answered.
    fn laid_down(&self, route: &Route, reader: Reader) -> Response<AnswerBody> {
        let note = Note {
            status: StatusCode::SERVICE_UNAVAILABLE,
            passes: true,
            headline: "Put to sleep",
            explanation: "This branch was put to sleep before it answered. Whoever asks again wakes it.",
            name: Some(&route.name),
            reason: None,
            command: None,
            place: None,
            mark: None,
        };
        self.answer(&note, reader)
    }

    /// As many wait for this branch, or for all of them, as may.
    pub(super) fn crowded(&self, route: &Route, reader: Reader) -> Response<AnswerBody> {
        let note = Note {
            status: StatusCode::SERVICE_UNAVAILABLE,
            passes: true,
            headline: "Many are waiting",
            explanation: "This branch is not there yet, and as many requests wait for it as may. Try again in a moment.",
            name: Some(&route.name),
            reason: None,
            command: None,
            place: None,
            mark: None,
        };
        self.answer(&note, reader)
    }

    fn answer(&self, note: &Note<'_>, reader: Reader) -> Response<AnswerBody> {
        let mut response = match reader {
            Reader::Browser => {
                let html = HeaderValue::from_static("text/html; charset=utf-8");
                let mut response = with_content(note.status, html, self.html(note));
                if let Some(policy) = &*CONTENT_POLICY {
                    response.headers_mut().insert(CONTENT_SECURITY_POLICY, policy.clone());
                }
                response
            }
            Reader::Program => {
                let plain = HeaderValue::from_static("text/plain; charset=utf-8");
                with_content(note.status, plain, self.plain_text(note))
            }
        };
        let headers = response.headers_mut();
        headers.insert("x-robots-tag", HeaderValue::from_static("noindex"));
        headers.insert("referrer-policy", HeaderValue::from_static("no-referrer"));
        headers.remove(REFRESH);
        if note.passes {
            headers.insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }

    fn html(&self, note: &Note<'_>) -> String {
        let mut html = String::with_capacity(STYLE.len() + 2048);
        html.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        html.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
        html.push_str("<meta name=\"robots\" content=\"noindex\">\n");
        if note.passes {
            let refresh = format_args!("<meta http-equiv=\"refresh\" content=\"{RETRY_SECONDS}\">");
            match &note.mark {
                Some(_) => put(&mut html, format_args!("<noscript>{refresh}</noscript>\n")),
                None => put(&mut html, format_args!("{refresh}\n")),
            }
        }
        let name = note.name.map(|name| escape(&on_one_line(name, NAME_LIMIT)));
        let title = name.as_deref().map_or_else(String::new, |name| format!(" · {name}"));
        put(
            &mut html,
            format_args!("<title>{}{title}</title>\n<style>{STYLE}</style>\n</head>\n", note.headline),
        );
        match &note.mark {
            Some(mark) => put(&mut html, format_args!("<body data-mark=\"{}\">\n", escape(mark))),
            None => html.push_str("<body>\n"),
        }
        put(&mut html, format_args!("<main class=\"{}\">\n", tone(note)));
        if let Some(name) = &name {
            put(&mut html, format_args!("<p class=\"name\">{name}</p>\n"));
        }
        put(&mut html, format_args!("<h1>{}</h1>\n", note.headline));
        put(&mut html, format_args!("<p>{}</p>\n", escape(&on_one_line(note.explanation, REASON_LIMIT))));
        if let Some(reason) = note.reason.map(|reason| clean_end(reason, REASON_LIMIT)) {
            put(&mut html, format_args!("<pre>{}</pre>\n", escape(reason.trim())));
        }
        let link = self.link(note).map(|(what, url)| format!("<a href=\"{}\">{what}</a>", escape(&url)));
        let command = self.command(note, link.is_some());
        let command =
            command.map(|(what, command)| format!("{what}: <code>{}</code>", escape(&clean_line(command))));
        let ways: Vec<String> = link.into_iter().chain(command).collect();
        if !ways.is_empty() {
            put(&mut html, format_args!("<p class=\"hint\">{}</p>\n", ways.join(", ")));
        }
        if note.passes {
            html.push_str("<p class=\"hint\">This page goes on by itself.</p>\n");
        }
        // Whoever may not look at a branch is told of no other place either.
        if let Some(url) = note.name.and_then(|_| self.signpost.to(&Place::Home)) {
            put(
                &mut html,
                format_args!("<p class=\"hint\"><a href=\"{}\">All branches</a></p>\n", escape(&url)),
            );
        }
        html.push_str("</main>\n");
        if note.mark.is_some() {
            put(&mut html, format_args!("<script>{}</script>\n", mark::SCRIPT));
        }
        html.push_str("</body>\n</html>\n");
        html
    }

    /// For programs: the same in a few lines.
    fn plain_text(&self, note: &Note<'_>) -> String {
        let name = note.name.map_or_else(String::new, |name| format!("{}: ", on_one_line(name, NAME_LIMIT)));
        let mut text = format!("{name}{}. {}\n", note.headline, on_one_line(note.explanation, REASON_LIMIT));
        if let Some(reason) = note.reason {
            put(&mut text, format_args!("{}\n", clean_end(reason, REASON_LIMIT).trim()));
        }
        let link = self.link(note);
        if let Some((what, url)) = &link {
            put(&mut text, format_args!("{what}: {url}\n"));
        }
        if let Some((what, command)) = self.command(note, link.is_some()) {
            put(&mut text, format_args!("{what}: {}\n", clean_line(command)));
        }
        text
    }

    /// The page that says more: what it is called, and its address.
    fn link(&self, note: &Note<'_>) -> Option<(&'static str, String)> {
        let (what, place) = note.place.as_ref()?;
        Some((*what, self.signpost.to(place)?))
    }

    /// The command that says more, and what it is for; left out where everybody can follow the link.
    fn command<'n>(&self, note: &'n Note<'_>, is_linked: bool) -> Option<(&'static str, &'n str)> {
        let (what, command) = note.command.as_ref()?;
        match (is_linked, self.signpost.is_for_everybody()) {
            (true, true) => None,
            (true, false) => Some((AT_A_COMMAND_LINE, command)),
            (false, _) => Some((*what, command)),
        }
    }
}

fn tone(note: &Note<'_>) -> &'static str {
    if note.passes {
        "passing"
    } else if note.reason.is_some() || note.status == StatusCode::BAD_GATEWAY {
        "broken"
    } else {
        "still"
    }
}

/// Somebody goes to a page with a browser, which shows one of ours and comes back by itself. What a page asks for, and a
/// form that is sent, are no such thing: they are worth waiting for.
pub(super) fn navigates<B>(request: &Request<B>, reader: Reader) -> bool {
    let mode = request.headers().get("sec-fetch-mode");
    reader == Reader::Browser
        && (request.method() == Method::GET || request.method() == Method::HEAD)
        && mode.is_none_or(|mode| mode == "navigate")
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _written: std::fmt::Result = text.write_fmt(arguments);
}

/// On one line, its end where it is long.
fn on_one_line(text: &str, limit: usize) -> String {
    clean_end(&clean_line(text), limit)
}

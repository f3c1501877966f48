//! The dashboard: pages for people who signed in with a token of the API.
//!
//! A page shows what the API shows and asks for what the API is asked for; it has no way of its own to change anything. Who
//! asks is known by a cookie here and by a header there: neither counts for the other.

mod archive;
mod cookie;
mod form;
mod guard;
mod home;
mod log;
mod refusal;
mod render;
mod sessions;
mod signin;
mod who;

pub(super) use archive::{newest as newest_archive, restore, show as archive};
pub(super) use guard::admit;
pub(super) use home::show as home;
pub(super) use log::show as log;
pub(super) use render::style;
pub(super) use sessions::Sessions;
pub(super) use signin::{begin as sign_in, end as sign_out, show as sign_in_page};

/// Most bytes of a form.
pub(super) const FORM_LIMIT: usize = 8 * 1024;

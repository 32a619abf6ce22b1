//! The settings page, where people set up, test and diagnose webhooks. It renders HTML from the ledger and the sender;
//! the style sheet and script are compiled in.

mod activity;
mod backfill;
mod call_filter;
mod context;
mod deliveries;
mod display;
mod error;
mod error_page;
mod find;
mod form;
mod header_fields;
mod i18n;
mod layout;
mod page_limiter;
mod payload;
mod player;
mod portal;
mod recover;
mod response;
mod route;
mod security_headers;
mod service;
mod session;
mod sign_in;
mod state;
mod static_files;
mod url_check;
mod webhook;
mod webhooks;

pub use portal::{Access, PERSON, PortalError, PortalLink, is_person, portal_link};
pub use route::{ROOT, is_below_root};
pub use service::Console;
pub use state::{Config, Dependencies};
pub use static_files::style_sheet;

//! Named bearer tokens of the private listener: what each may do, the file that holds their hashes, and who bears one.

mod active;
mod file;
mod format;
mod principal;
mod scope;
mod token;

pub use active::{NoTokensFile, Tokens};
pub use file::{TokenEntry, TokensError, TokensFile, edit_file, is_token_name};
pub use format::{NewToken, PREFIX};
pub use principal::{Caller, Principal};
pub use scope::Scope;
pub use token::Token;

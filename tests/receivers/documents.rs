//! The documents: their commands and snippets run, their links lead somewhere, and what they name exists.

mod blocks;
mod commands;
mod links;
mod names;

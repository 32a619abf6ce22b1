//! Transcripts of the schema `call-transcript/1`: reads one, and renders it as text, captions or Markdown. Its bytes come
//! from outside, so reading and rendering never panic, and the rendering has a limit.

mod read;
mod render;

pub use read::{SCHEMA, Transcript, UnknownSchema, Utterance};
pub use render::{LARGEST_RENDERING, RENDERED_SINCE, RENDERING_VERSION, RenderError, render};

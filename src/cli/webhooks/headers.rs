//! `webhooks headers`: sets and removes the custom header fields of an endpoint. A value comes from a file or from standard
//! input, never as an argument: other users of the machine see arguments.

use std::fs::File;
use std::io::Read;

use clap::Args;
use zeroize::Zeroizing;

use super::context::{CommandContext, EndpointId, Workspace};
use crate::admin::endpoint_to_json;
use crate::cli::arguments::Output;
use crate::cli::exit::{Exit, Failure};
use crate::ledger::EndpointChange;
use crate::webhook::HeaderChanges;

/// The most bytes of a value's file: more than any value may have.
const MAX_FILE: u64 = 64 * 1024;

/// Files with the values of header fields.
#[derive(Debug, Args)]
pub(crate) struct HeaderFiles {
    /// Send this header, with the value that is in a file (- for standard input); repeat it for more
    #[arg(long, value_name = "NAME=FILE", value_parser = named_file)]
    header_file: Vec<NamedFile>,
    /// Send HTTP Basic credentials: USER:PASSWORD in a file (- for standard input)
    #[arg(long, value_name = "FILE")]
    basic_file: Option<String>,
}

/// A header field's name, and the file with its value.
#[derive(Debug, Clone)]
struct NamedFile {
    name: String,
    file: String,
}

impl HeaderFiles {
    /// Reads the files.
    pub(super) fn read(&self) -> Result<HeaderChanges, Failure> {
        let mut changes = HeaderChanges::default();
        for NamedFile { name, file } in &self.header_file {
            let value = read(file, &format!("--header-file {name}="))?;
            changes.set(name, &value).map_err(Failure::failed)?;
        }
        if let Some(file) = &self.basic_file {
            let pair = read(file, "--basic-file ")?;
            let (user, password) = pair.split_once(':').ok_or_else(|| {
                Failure::Failed("--basic-file: the file takes one line, USER:PASSWORD".to_owned())
            })?;
            changes.set_basic(user, password).map_err(Failure::failed)?;
        }
        Ok(changes)
    }
}

/// Reads a value, without the line break at its end. An error does not repeat the file's name: it may be a value.
fn read(file: &str, option: &str) -> Result<Zeroizing<String>, Failure> {
    let mut value = Zeroizing::new(String::new());
    let read = match file {
        "-" => std::io::stdin().lock().take(MAX_FILE).read_to_string(&mut value),
        file => File::open(file).and_then(|file| file.take(MAX_FILE).read_to_string(&mut value)),
    };
    read.map_err(|error| Failure::Failed(format!("{option}FILE cannot be read: {error}")))?;
    let length = value.trim_end_matches(['\n', '\r']).len();
    value.truncate(length);
    Ok(value)
}

#[derive(Debug, Args)]
pub(crate) struct SetHeaders {
    #[command(flatten)]
    endpoint: EndpointId,
    #[command(flatten)]
    files: HeaderFiles,
    /// Send this header no longer; repeat it for more
    #[arg(long, value_name = "NAME")]
    remove: Vec<String>,
    #[command(flatten)]
    output: Output,
}

impl SetHeaders {
    pub(super) async fn run(self, context: &CommandContext) -> Exit {
        let EndpointId { of: Workspace { workspace }, id } = &self.endpoint;
        let mut headers = self.files.read()?;
        for name in &self.remove {
            headers.remove(name).map_err(Failure::failed)?;
        }
        let endpoint = if headers.is_empty() {
            context.ledger.endpoint(workspace, id).await?
        } else {
            let change = EndpointChange { headers, ..EndpointChange::default() };
            context.ledger.change_endpoint(workspace, id, change).await?
        };
        let endpoint = endpoint.ok_or_else(|| self.endpoint.missing())?;
        self.output.print(
            || endpoint_to_json(&endpoint),
            || match &endpoint.headers[..] {
                [] => format!("{id} gets no headers beside those of every webhook\n"),
                names => format!("{id} gets these headers too, each with a value: {}\n", names.join(", ")),
            },
        )
    }
}

fn named_file(text: &str) -> Result<NamedFile, String> {
    let (name, file) = text
        .split_once('=')
        .filter(|(name, file)| !name.is_empty() && !file.is_empty())
        .ok_or("takes the header's name and a file with its value, such as X-API-Key=key.txt")?;
    Ok(NamedFile { name: name.to_owned(), file: file.to_owned() })
}

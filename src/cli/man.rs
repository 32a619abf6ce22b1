//! `man`: prints the manual page, or writes the pages of all commands into a folder, for packages.

use std::path::PathBuf;

use clap::{Args, Command};

use super::exit::{Exit, Failure, print};

#[derive(Debug, Args)]
pub(super) struct Man {
    /// Write a page for each command into this folder, such as /usr/share/man/man1
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

impl Man {
    pub(super) fn run(self, command: Command) -> Exit {
        if let Some(folder) = self.to {
            clap_mangen::generate_to(command, &folder)
                .map_err(|error| Failure::Failed(format!("{}: {error}", folder.display())))?;
            return print(&format!(
                "wrote webhook-assets.1 and a page for each command to {}\n",
                folder.display()
            ));
        }
        let mut page = Vec::new();
        clap_mangen::Man::new(command).render(&mut page)?;
        print(&String::from_utf8_lossy(&page))
    }
}

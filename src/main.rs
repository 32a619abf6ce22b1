//! The `webhook-assets` program; everything it does is in [`webhook_assets::cli`].

fn main() -> std::process::ExitCode {
    webhook_assets::cli::run()
}

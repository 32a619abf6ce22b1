//! What the nginx example does to links and deadlines.

use super::settings::{InstallFolder, compose_variables};
use super::{only, pieces, read, seconds};

/// The directives of nginx.conf, without comments.
fn directives() -> String {
    let text = read("deploy/nginx.conf");
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn nginx_logs_no_query() {
    let directives = directives();
    let (_, format) = directives.split_once("log_format webhook_assets").unwrap();
    let (format, _) = format.split_once(';').unwrap();
    let logged: Vec<_> = pieces(format, |c| c.is_ascii_lowercase() || c == '_' || c == '$')
        .filter(|word| word.starts_with('$'))
        .collect();
    assert!(logged.contains(&"$uri"), "{logged:?}");
    for leak in
        ["$request", "$request_uri", "$args", "$query_string", "$is_args", "$arg_sig", "$http_referer"]
    {
        assert!(!logged.contains(&leak), "{leak} has the signature");
    }
    assert_eq!(directives.matches("access_log ").count(), 1);
    assert!(
        directives.contains("webhook-assets.error.log crit;"),
        "at `error` there are whole request lines"
    );
}

#[test]
fn nginx_streams_and_leaves_the_deadlines_to_the_gateway() {
    let (directives, place) = (directives(), InstallFolder::new());
    assert_eq!(only(&directives, "proxy_buffering "), "off;");
    assert_eq!(
        only(&directives, "proxy_pass "),
        "http://webhook_assets;",
        "a path here would rewrite the target"
    );
    let config = place.config(None, &compose_variables(false), "/run/secrets");
    assert!(seconds(only(&directives, "proxy_read_timeout ")) > config.store.resume_timeout);
    assert!(seconds(only(&directives, "keepalive_timeout ")) < config.server.header_timeout);
    let location = format!("location {}/webhook-assets/ {{", config.public_url.prefix());
    assert!(directives.contains(&location), "{location}");
    assert_eq!(only(&directives, "server 127.0.0.1:"), format!("{};", config.listen.port()));
}

//! Where settings come from, and what the program says about a wrong one.

use super::{Home, Ran};

/// An invalid value for every setting that can be wrong: as TOML, as text, and what the message says the setting takes.
const BAD: [(&str, &str, &str, &str); 61] = [
    ("listen", "\"8080\"", "\"8080\"", "127.0.0.1:8080"),
    ("public_url", "\"app.example.com\"", "\"app.example.com\"", "https://"),
    ("longest_lifetime", "\"a day\"", "\"a day\"", "24h"),
    ("store.url", "\"/srv/assets\"", "\"/srv/assets\"", "file:///"),
    ("store.connect_timeout", "\"0s\"", "\"0s\"", "a duration"),
    ("store.first_byte_timeout", "\"10\"", "\"10\"", "a duration"),
    ("store.stall_timeout", "30", "30", "a duration"),
    ("store.resume_tries", "0", "0", "a whole number"),
    ("store.read_ahead", "0", "0", "a whole number"),
    ("store.resume_timeout", "60", "60", "a duration"),
    ("gateway.allowed_origins", "[\"example.com\"]", "\"example.com\"", "origins"),
    ("gateway.requests_in_flight", "0", "0", "a whole number"),
    ("gateway.requests_per_address", "\"half\"", "\"half\"", "a whole number"),
    ("gateway.retry_after", "\"soon\"", "\"soon\"", "a duration"),
    ("gateway.threads", "2000", "2000", "1 to 1024"),
    ("server.header_timeout", "true", "true", "a duration"),
    ("server.idle_timeout", "\"0s\"", "\"0s\"", "a duration"),
    ("server.slowest_client", "\"1 KB\"", "\"1 KB\"", "a whole number"),
    ("server.stall_timeout", "\"1\"", "\"1\"", "a duration"),
    ("server.drain_delay", "\"-1s\"", "\"-1s\"", "0s for none"),
    ("server.drain_timeout", "\"-1s\"", "\"-1s\"", "a duration"),
    ("server.connections", "0", "0", "a whole number"),
    ("server.connections_per_address", "-1", "-1", "a whole number"),
    ("server.http2_resets", "0", "0", "a whole number"),
    ("server.trusted_proxies", "[\"10.0.0.1/8\"]", "\"10.0.0.1/8\"", "networks in CIDR notation"),
    ("server.proxy_protocol", "true", "true", "server.trusted_proxies"),
    ("server.client_header", "\"X-Real-IP\"", "\"X-Real-IP\"", "X-Forwarded-For"),
    ("tls.handshake_timeout", "\"0s\"", "\"0s\"", "a duration"),
    ("server.longest_target", "-1", "-1", "a whole number"),
    ("server.longest_head", "1.5", "1.5", "a whole number"),
    ("server.connection_buffer", "100", "100", "8192"),
    ("server.http2_streams", "\"many\"", "\"many\"", "a whole number"),
    ("admin.listen", "\"localhost\"", "\"localhost\"", "an address"),
    ("admin.connections", "0", "0", "a whole number"),
    ("admin.token_file", "\"/nowhere/token\"", "\"/nowhere/token\"", "a readable file"),
    (
        "console.url",
        "\"https://example.com/console/\"",
        "\"https://example.com/console/\"",
        "before /console",
    ),
    ("console.link_lifetime", "\"0s\"", "\"0s\"", "a duration"),
    ("console.session_lifetime", "\"a day\"", "\"a day\"", "a duration"),
    ("webhooks.database", "\"mysql://host/calls\"", "\"mysql://host/calls\"", "postgres://"),
    ("webhooks.attempt_timeout", "\"0s\"", "\"0s\"", "a duration"),
    ("webhooks.asset_wait", "\"soon\"", "\"soon\"", "a duration"),
    ("webhooks.retention", "30", "30", "a duration"),
    ("webhooks.disable_after", "\"never\"", "\"never\"", "a duration"),
    ("webhooks.attempts_in_flight", "0", "0", "a whole number"),
    ("webhooks.attempts_per_endpoint", "0", "0", "a whole number"),
    ("webhooks.allow_http", "\"yes\"", "\"yes\"", "true or false"),
    ("webhooks.allowed_networks", "[\"10.0.0.1/8\"]", "\"10.0.0.1/8\"", "CIDR"),
    ("webhooks.proxy", "\"proxy:3128\"", "\"proxy:3128\"", "http://proxy.internal:3128"),
    ("webhooks.proxy_resolves_names", "\"some\"", "\"some\"", "true or false"),
    (
        "alerts.url",
        "\"ftp://chat.example/secret\"",
        "\"ftp://[redacted]\"",
        "a URL such as https://hooks.slack.com/",
    ),
    ("alerts.format", "\"teams\"", "\"teams\"", "json or slack"),
    ("alerts.secret_file", "\"/nowhere/secret\"", "\"/nowhere/secret\"", "a readable file"),
    ("alerts.interval", "\"0s\"", "\"0s\"", "a duration"),
    ("alerts.kinds", "[\"endpoint.lost\"]", "\"endpoint.lost\"", "endpoint.failing"),
    ("log.format", "\"xml\"", "\"xml\"", "human"),
    ("log.level", "\"loud\"", "\"loud\"", "debug"),
    ("audit.retention", "\"long\"", "\"long\"", "a duration"),
    ("audit.required", "true", "true", "audit.file"),
    ("tracing.endpoint", "\"localhost:4318\"", "\"localhost:4318\"", "http://"),
    ("tracing.sample", "1.5", "1.5", "from 0 to 1"),
    ("tracing.service_name", "\"\"", "\"\"", "a name"),
];

/// The variable of a setting.
fn variable(key: &str) -> String {
    match key {
        "store.url" => "WEBHOOK_ASSETS_STORE".to_owned(),
        "webhooks.database" => "WEBHOOK_ASSETS_DATABASE".to_owned(),
        key => format!("WEBHOOK_ASSETS_{}", key.replace('.', "_").to_uppercase()),
    }
}

/// `server.header_timeout = "1s"` as a TOML file has it.
fn in_toml(key: &str, value: &str) -> String {
    match key.split_once('.') {
        Some((table, name)) => format!("[{table}]\n{name} = {value}\n"),
        None => format!("{key} = {value}\n"),
    }
}

#[test]
fn each_bad_variable_ends_serving_with_64_and_one_line() {
    let home = Home::ready();
    for (key, toml, got, takes) in BAD {
        let name = variable(key);
        let value = toml.trim_matches(['[', ']']).trim_matches('"');
        let ran = Ran::of(home.program(&["serve"]).env(&name, value));
        ran.refused(64, &[key, &name, got.trim_matches('"'), "takes", takes]);
    }
}

#[test]
fn each_bad_line_of_the_settings_file_ends_serving_with_64_and_one_line() {
    let home = Home::ready();
    for (key, toml, got, takes) in BAD {
        home.write("settings.toml", &in_toml(key, toml));
        let mut command = home.program(&["serve", "--config", "settings.toml"]);
        // A variable would take precedence over the file.
        let ran = Ran::of(command.env_remove(variable(key)));
        ran.refused(64, &[key, "settings.toml", got, "takes", takes]);
    }
}

#[test]
fn every_setting_with_a_form_has_a_bad_value_in_these_tests() {
    let defaults = Home::without_keys().run(&["config"]).succeeded().out;
    let defaults: toml::Table = defaults.parse().unwrap();
    let mut keys = Vec::new();
    for (name, value) in &defaults {
        match value.as_table() {
            Some(table) => keys.extend(table.keys().map(|inner| format!("{name}.{inner}"))),
            None => keys.push(name.clone()),
        }
    }
    // Any text is a path; the program reports a missing keyring or certificate when it reads the file.
    keys.retain(|key| {
        !["keys", "tls.certificate", "tls.key", "webhooks.secret_key_file", "audit.file", "admin.tokens_file"]
            .contains(&key.as_str())
            && !["ca_file", "proxy_credentials_file"].iter().any(|file| key.ends_with(file))
    });
    keys.sort();
    let mut tried: Vec<_> = BAD.iter().map(|(key, ..)| (*key).to_owned()).collect();
    tried.sort();
    assert_eq!(keys, tried);
}

#[test]
fn a_missing_setting_is_named_by_its_key_and_its_variable() {
    let home = Home::ready();
    for (key, name) in [
        ("public_url", "WEBHOOK_ASSETS_PUBLIC_URL"),
        ("keys", "WEBHOOK_ASSETS_KEYS"),
        ("store.url", "WEBHOOK_ASSETS_STORE"),
    ] {
        let ran = Ran::of(home.program(&["serve"]).env_remove(name));
        ran.refused(64, &[&format!("{key}: not set"), name, "takes"]);
    }
}

#[test]
fn an_unknown_or_unreadable_settings_file_is_one_line_too() {
    let home = Home::ready();
    home.write("typo.toml", "[server]\nheader_timeot = \"1s\"\n");
    home.write("broken.toml", "listen = \"127.0.0.1:0\"\nlog = {\n");
    let serve = |file| home.run(&["serve", "--config", file]);
    serve("typo.toml").refused(64, &["server.header_timeot", "typo.toml", "server.header_timeout"]);
    serve("broken.toml").refused(64, &["broken.toml", "line 2"]);
    serve("absent.toml").refused(64, &["absent.toml", "cannot be read"]);
}

#[test]
fn a_key_with_a_line_break_inside_is_one_line_too() {
    let home = Home::ready();
    home.write("strange.toml", "\"a\\nb\" = 1\n");
    home.run(&["serve", "--config", "strange.toml"]).refused(64, &["strange.toml", "no such setting"]);
}

#[test]
fn an_admin_listener_for_the_network_needs_a_token() {
    let home = Home::ready();
    let everywhere = |extra: &[(&str, &str)]| {
        let mut command = home.program(&["serve"]);
        Ran::of(command.env("WEBHOOK_ASSETS_ADMIN_LISTEN", "0.0.0.0:0").envs(extra.iter().copied()))
    };
    everywhere(&[]).refused(64, &["admin.token_file", "loopback"]);
    home.write("token", "too-short\n");
    let ran = everywhere(&[("WEBHOOK_ASSETS_ADMIN_TOKEN_FILE", "token")]);
    ran.refused(64, &["admin.token_file", "16 characters"]);
}

#[test]
fn a_password_in_a_bad_setting_is_not_repeated() {
    let home = Home::ready();
    let bad = "postgres://user:hunter2@db.example:port/calls";
    let ran = Ran::of(home.program(&["serve"]).env("WEBHOOK_ASSETS_DATABASE", bad));
    ran.refused(64, &["webhooks.database", "postgres://[redacted]@db.example"])
        .hides(&["hunter2".to_owned()]);
}

#[test]
fn an_absurd_number_is_refused_before_anything_panics() {
    let home = Home::ready();
    for (key, value) in [
        ("longest_lifetime", "18446744073709551615s"),
        ("server.header_timeout", "18446744073709551615s"),
        ("server.connection_buffer", "5000000000"),
        ("server.http2_streams", "0"),
        ("gateway.requests_in_flight", "9223372036854775807"),
    ] {
        let ran = Ran::of(home.program(&["check"]).env(variable(key), value));
        assert_eq!(ran.code, Some(64), "{key} = {value}: {ran:?}");
    }
}

#[test]
fn the_printed_settings_are_settings() {
    let home = Home::ready();
    let printed = home.run(&["config"]).succeeded().out;
    home.write("settings.toml", &printed);
    home.run(&["check", "--config", "settings.toml"]).succeeded();
    assert!(printed.lines().count() > 40 && printed.contains("[gateway]"));
}

#[test]
fn help_and_version_are_no_failures() {
    let home = Home::without_keys();
    let help = home.run(&["--help"]).succeeded().out;
    for command in
        ["serve", "mint", "verify", "keys", "webhooks", "check", "demo", "config", "health", "completions"]
    {
        assert!(help.contains(&format!("  {command} ")), "{command} is missing in {help}");
        home.run(&[command, "--help"]).succeeded().says(&["Usage: webhook-assets", command]);
    }
    for name in ["WEBHOOK_ASSETS_STORE", "WEBHOOK_ASSETS_KEYS", "Exit codes: 0", "64"] {
        assert!(help.contains(name), "{name} is missing in {help}");
    }
    let version = home.run(&["--version"]).succeeded().out;
    assert_eq!(version, concat!("webhook-assets ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn a_wrong_command_line_ends_with_2() {
    let home = Home::ready();
    for arguments in [&[][..], &["sevre"], &["serve", "--port", "1"], &["mint"], &["completions", "tcl"]] {
        let ran = home.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{ran:?}");
        assert!(ran.err.contains("Usage") || ran.err.contains("possible values"), "{ran:?}");
    }
}

#[test]
fn manual_pages_are_written_for_each_command() {
    let home = Home::without_keys();
    std::fs::create_dir(home.path("man1")).unwrap();
    home.run(&["man", "--to", "man1"]).succeeded().says(&["man1"]);
    for page in ["webhook-assets", "webhook-assets-mint", "webhook-assets-webhooks-recover"] {
        assert!(home.read(&format!("man1/{page}.1")).contains(".TH webhook-assets"), "{page}");
    }
    home.run(&["man"]).succeeded().says(&[".TH webhook-assets 1", "Exit codes"]);
    home.run(&["man", "--to", "absent"]).refused(1, &["absent"]);
}

#[test]
fn completions_are_there_for_each_shell() {
    let home = Home::without_keys();
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef webhook-assets"), ("fish", "complete -c webhook-assets")]
    {
        home.run(&["completions", shell]).succeeded().says(&[
            mark,
            "mint",
            "rotate",
            "webhooks",
            "deliveries",
        ]);
    }
}

#[test]
fn a_closed_pipe_is_no_reason_to_panic() {
    let home = Home::ready();
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["config"],
        &["completions", "bash"],
        &["keys", "list"],
        &["check"],
        &["mint", "recording", "550e8400-e29b-41d4-a716-446655440000"],
        &["verify", "https://app.example.com/"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ran = Ran::after({
            let mut command = home.program(arguments);
            command.stdout(writer).stderr(std::process::Stdio::piped()).spawn().unwrap()
        });
        assert_eq!(ran.err, "", "{arguments:?}");
        assert!(matches!(ran.code, Some(0 | 1)), "{arguments:?}: {ran:?}");
    }
}

#[test]
fn the_credentials_of_a_proxy_come_from_a_file_beside_its_address() {
    let home = Home::ready();
    let login = home.write("login", "no pair: v4lue\nof two lines\n");
    std::fs::set_permissions(login, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = |proxy: &str, words: &[&str]| {
        let login = home.path("login").display().to_string();
        let mut command = home.program(&["serve"]);
        command
            .env("WEBHOOK_ASSETS_WEBHOOKS_PROXY", proxy)
            .env("WEBHOOK_ASSETS_WEBHOOKS_PROXY_CREDENTIALS_FILE", login);
        Ran::of(&mut command).refused(64, words).hides(&["v4lue".to_owned()]);
    };
    refused("", &["webhooks.proxy_credentials_file", "beside webhooks.proxy"]);
    refused("http://proxy.internal:3128", &["login", "USER:PASSWORD"]);
    refused(
        "http://user:v4lue@proxy.internal:3128",
        &["webhooks.proxy", "[redacted]", "without credentials"],
    );
}

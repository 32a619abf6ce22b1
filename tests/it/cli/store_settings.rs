//! Settings of a cloud store: an impossible value ends every command with 64 and one line that names the setting and
//! shows no value, before any request to the store.

use super::{CALL, Home, Ran};

/// Enough for a store of each kind, with an endpoint on this machine without a listener.
const S3: [(&str, &str); 6] = [
    ("WEBHOOK_ASSETS_STORE", "s3://bucket/prefix"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
    ("AWS_ALLOW_HTTP", "true"),
    ("AWS_REGION", "eu-central-1"),
    ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "nobody-may-see-this"),
];
const AZURE: [(&str, &str); 5] = [
    ("WEBHOOK_ASSETS_STORE", "az://container/prefix"),
    ("AZURE_STORAGE_ENDPOINT", "http://127.0.0.1:1"),
    ("AZURE_ALLOW_HTTP", "true"),
    ("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1"),
    ("AZURE_STORAGE_ACCOUNT_KEY", "bm9ib2R5LW1heS1zZWUtdGhpcw=="),
];
const GCS: [(&str, &str); 4] = [
    ("WEBHOOK_ASSETS_STORE", "gs://bucket/prefix"),
    ("GOOGLE_BASE_URL", "http://127.0.0.1:1"),
    ("GOOGLE_ALLOW_HTTP", "true"),
    ("GOOGLE_BEARER_TOKEN", "nobody-may-see-this"),
];

/// Runs a command with these variables and others in place of, or beside, them. An empty one is not set.
fn ran(home: &Home, command: &[&str], variables: &[(&str, &str)], others: &[(&str, &str)]) -> Ran {
    let mut program = home.program(command);
    program.env("WEBHOOK_ASSETS_STORE_FIRST_BYTE_TIMEOUT", "300ms").env("NO_COLOR", "1");
    program.envs(variables.iter().copied());
    for (name, value) in others {
        match *value {
            "" => program.env_remove(name),
            value => program.env(name, value),
        };
    }
    Ran::of(&mut program)
}

/// Checks that `serve`, `check` and `erase` each refuse, name the setting, and show nothing of the value.
fn is_refused(home: &Home, variables: &[(&str, &str)], others: &[(&str, &str)], name: &str) {
    let (_, value) = others.last().unwrap();
    let shown = |ran: &Ran| value.len() > 8 && format!("{}{}", ran.out, ran.err).contains(value);
    for command in [&["serve"][..], &["erase", &CALL.to_string()]] {
        let ran = ran(home, command, variables, others);
        assert!(!shown(&ran), "{ran:?}");
        ran.refused(64, &[name]);
    }
    let ran = ran(home, &["check"], variables, others);
    let failures: Vec<_> = ran.out.lines().filter(|line| line.starts_with("FAIL")).collect();
    assert!(matches!(failures[..], [line] if line.contains(name)), "{ran:?}");
    assert!(matches!(ran.code, Some(1 | 64)) && ran.err.is_empty() && !shown(&ran), "{ran:?}");
}

/// Checks that it gets as far as a request to the store, which is not there.
fn reaches_the_store(home: &Home, variables: &[(&str, &str)], others: &[(&str, &str)]) {
    let ran = ran(home, &["check"], variables, others);
    assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{others:?}: {ran:?}");
    // Refused or not in time: the message names the endpoint either way.
    ran.says(&["FAIL  store", "endpoint"]);
}

#[test]
fn an_endpoint_that_is_no_url_is_refused_by_its_name() {
    let home = Home::ready();
    for endpoint in [
        "minio:9000",
        "minio",
        "//minio:9000",
        "http://",
        "http://minio:port",
        "http://a b",
        "http://bü.example",
    ] {
        is_refused(&home, &S3, &[("AWS_ENDPOINT_URL", endpoint)], "AWS_ENDPOINT_URL");
    }
    for name in ["AWS_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_STS", "AWS_METADATA_ENDPOINT"] {
        is_refused(&home, &S3, &[(name, "minio:9000")], name);
    }
    for name in ["AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT", "AZURE_AUTHORITY_HOST", "IDENTITY_ENDPOINT"] {
        is_refused(&home, &AZURE, &[(name, "azurite:10000")], name);
    }
    let emulator = [("AZURE_STORAGE_USE_EMULATOR", "true"), ("AZURITE_BLOB_STORAGE_URL", "azurite:10000")];
    is_refused(&home, &AZURE, &emulator, "AZURITE_BLOB_STORAGE_URL");
    is_refused(&home, &GCS, &[("GOOGLE_BASE_URL", "gcs:4443")], "GOOGLE_BASE_URL");
    is_refused(&home, &S3, &[("AWS_ENDPOINT_URL", "http://user:hunter22@minio:9000")], "AWS_ENDPOINT_URL");
}

#[test]
fn a_value_that_no_request_can_hold_is_refused_by_its_name() {
    let home = Home::ready();
    for stray in ["two words", "line\nend", "ünïcödé", "nul\u{1}", "zero\u{200b}width"] {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN", "AWS_REGION"] {
            is_refused(&home, &S3, &[(name, stray)], name);
        }
        for name in ["AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_TOKEN"] {
            is_refused(&home, &AZURE, &[(name, stray)], name);
        }
        is_refused(&home, &GCS, &[("GOOGLE_BEARER_TOKEN", stray)], "GOOGLE_BEARER_TOKEN");
    }
    is_refused(&home, &S3, &[("AWS_SECRET_ACCESS_KEY", "line\nend")], "AWS_SECRET_ACCESS_KEY");
    is_refused(&home, &S3, &[("AWS_SKIP_SIGNATURE", "perhaps")], "AWS_SKIP_SIGNATURE");
    is_refused(&home, &S3, &[("AWS_CHECKSUM_ALGORITHM", "md5sum")], "AWS_CHECKSUM_ALGORITHM");
    is_refused(&home, &AZURE, &[("AZURE_CREDENTIAL_TYPE", "whatever")], "AZURE_CREDENTIAL_TYPE");
    // Longer than any URL may be.
    let endless = "sv=".to_owned() + &"x".repeat(70_000);
    let token = [("AZURE_STORAGE_ACCOUNT_KEY", ""), ("AZURE_STORAGE_SAS_TOKEN", &*endless)];
    is_refused(&home, &AZURE, &token, "AZURE_STORAGE_SAS_TOKEN");
}

#[test]
fn a_value_is_trimmed_and_an_empty_one_is_not_set() {
    let home = Home::ready();
    reaches_the_store(
        &home,
        &S3,
        &[("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE\n"), ("AWS_ENDPOINT_URL", " http://127.0.0.1:1/ \r\n")],
    );
    reaches_the_store(
        &home,
        &S3,
        &[("AWS_SESSION_TOKEN", " "), ("AWS_REGION", "eu\n"), ("AWS_ALLOW_HTTP", " True\n")],
    );
    reaches_the_store(&home, &AZURE, &[("AZURE_STORAGE_ACCOUNT_NAME", "devstoreaccount1\n")]);
    reaches_the_store(
        &home,
        &GCS,
        &[("GOOGLE_BEARER_TOKEN", "abc\n"), ("WEBHOOK_ASSETS_STORE", "gs://bucket/prefix\n")],
    );
}

#[test]
fn plain_http_has_to_be_allowed_in_every_cloud() {
    let home = Home::ready();
    for (variables, allow, endpoint) in [
        (&S3[..], "AWS_ALLOW_HTTP", "AWS_ENDPOINT_URL"),
        (&AZURE, "AZURE_ALLOW_HTTP", "AZURE_STORAGE_ENDPOINT"),
        (&GCS, "GOOGLE_ALLOW_HTTP", "GOOGLE_BASE_URL"),
    ] {
        for value in ["", "false", "No", "0"] {
            is_refused(&home, variables, &[(allow, value)], &format!("{endpoint}: http://"));
            ran(&home, &["serve"], variables, &[(allow, value)]).says(&[&format!("set {allow}=true")]);
        }
        reaches_the_store(&home, variables, &[(allow, "yes")]);
        let secure = [(allow, ""), (endpoint, "https://127.0.0.1:1")];
        reaches_the_store(&home, variables, &secure);
    }
    // Of a service account's own file.
    let account = r#"{"gcs_base_url":"http://127.0.0.1:1","disable_oauth":true,"client_email":"","private_key":"","private_key_id":""}"#;
    home.write("account.json", account);
    let file =
        [("GOOGLE_SERVICE_ACCOUNT", "account.json"), ("GOOGLE_BEARER_TOKEN", ""), ("GOOGLE_BASE_URL", "")];
    reaches_the_store(&home, &GCS, &file);
    let file = [file[0], file[1], file[2], ("GOOGLE_ALLOW_HTTP", "")];
    is_refused(&home, &GCS, &file, "service account");
}

#[test]
fn options_of_the_settings_file_follow_the_same_rules() {
    let home = Home::ready();
    let refused = |options: &str, name: &str| {
        let file = home.write("settings.toml", &format!("[store.options]\n{options}\n"));
        // Credentials that other users may read are a warning.
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        ran(&home, &["serve", "--config", "settings.toml"], &S3, &[]).refused(64, &[name]);
    };
    refused("endpoint = \"minio:9000\"", "store.options.endpoint");
    refused("session_token = \"a\\u0000b\"", "store.options.session_token");
    refused("http1_only = \"false\"\nhttp2_max_frame_size = \"1\"", "store.options.http2_max_frame_size");
    refused("timeout = \"18446744073709551615s\"", "store.options.timeout");
    refused("proxy_url = \"http://user:pa ss@proxy\"", "store.options.proxy_url");
    refused("bucket = \"another\"", "store.options.bucket");
    refused("allow_http = \"false\"", "AWS_ENDPOINT_URL: http://");
    refused(
        "proxy_ca_certificate = \"no PEM\"\nproxy_url = \"http://p:1\"",
        "store.options.proxy_ca_certificate",
    );
    refused("\"strange\\nname\" = \"1\"", "no such option");
    home.write("settings.toml", "[store.options]\nendpoint = \"http://127.0.0.1:1\"\n");
    // An option takes precedence over the variables of every name.
    let others = [("AWS_ENDPOINT_URL_S3", "http://minio.invalid:9")];
    let asked = ran(&home, &["check", "--config", "settings.toml"], &S3, &others);
    // The name in the other one cannot be resolved.
    assert!(!asked.out.contains("resolve"), "{asked:?}");
    asked.says(&["FAIL  store", "endpoint"]);
}

#[test]
fn a_proxy_that_the_store_would_bypass_is_refused() {
    let home = Home::ready();
    for value in ["http://user:hunter22@proxy:port", "proxy 3128", "http://proxy:3128\n", "socks5://proxy:1"]
    {
        for name in ["HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
            is_refused(&home, &S3, &[(name, value)], name);
        }
    }
    reaches_the_store(&home, &S3, &[("https_proxy", "http://user:pw@127.0.0.1:1")]);
}

#[test]
fn a_store_url_whose_path_would_be_changed_or_dropped_is_refused() {
    let home = Home::ready();
    let folder = home.path("store").display().to_string();
    for path in [
        "//assets",
        "/prod//assets",
        "/prod/%00",
        "/%FF",
        "/a/../b",
        "/.",
        "/a\\b",
        "/a\u{1}b",
        "/a%0d",
        "/x//",
    ] {
        for bucket in ["s3://bucket", "gs://bucket", "az://container"] {
            let url = format!("{bucket}{path}");
            for command in [&["serve"][..], &["erase", &CALL.to_string()]] {
                ran(&home, command, &S3, &[("WEBHOOK_ASSETS_STORE", &url)]).refused(64, &["store.url"]);
            }
        }
    }
    for url in [
        format!("file://{folder}/../store"),
        format!("file://{folder}%00"),
        format!("file://{folder}\\x"),
        "file:store".into(),
    ] {
        ran(&home, &["serve"], &[], &[("WEBHOOK_ASSETS_STORE", &url)]).refused(64, &["store.url"]);
    }
    for url in [
        "s3://minio:9000/bucket",
        "s3://b%20c/x",
        "s3://user:hunter2secret@b/x",
        "az://my.container/x",
        "memory:///x",
    ] {
        let ran = ran(&home, &["serve"], &S3, &[("WEBHOOK_ASSETS_STORE", url)]).refused(64, &["store.url"]);
        assert!(!ran.err.contains("hunter2"), "{ran:?}");
    }
}

#[test]
fn a_certificate_that_is_none_is_refused_whatever_the_store() {
    let home = Home::ready();
    let garbage = "-----BEGIN CERTIFICATE-----\nbm8gY2VydGlmaWNhdGU=\n-----END CERTIFICATE-----\n";
    for text in ["", "no PEM", garbage] {
        home.write("ca.pem", text);
        let others = [("WEBHOOK_ASSETS_STORE_CA_FILE", "ca.pem")];
        is_refused(&home, &S3, &others, "store.ca_file");
    }
}

#[test]
fn a_variable_that_is_no_text_is_refused_and_not_passed_over() {
    use std::os::unix::ffi::OsStringExt;

    let home = Home::ready();
    let strange = || std::ffi::OsString::from_vec(vec![b'a', 0xff]);
    for name in ["WEBHOOK_ASSETS_KEYS", "WEBHOOK_ASSETS_TLS_KEY", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY"] {
        let mut program = home.program(&["serve"]);
        Ran::of(program.envs(S3).env(name, strange())).refused(64, &[name, "UTF-8"]);
    }
    // A store of another kind does not read it, so it belongs to another program.
    Ran::of(home.program(&["check"]).env("AWS_SECRET_ACCESS_KEY", strange())).succeeded();
}

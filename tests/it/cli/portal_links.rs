//! `webhooks portal`: links into the settings page.

use super::{Home, Ran};

#[test]
fn a_link_is_printed_for_one_workspace_or_for_the_operator() {
    let home = Home::ready();
    let portal = |arguments: &[&str]| {
        let mut command = home.program(&[&["webhooks", "portal"], arguments].concat());
        Ran::of(command.env("WEBHOOK_ASSETS_CONSOLE_URL", "https://hooks.example.com"))
    };
    for arguments in [&["--workspace", "acme"][..], &["--workspace", "acme", "--listen"], &["--operator"]] {
        let printed = portal(arguments).succeeded().out;
        assert!(printed.starts_with("https://hooks.example.com/console/enter?pass="), "{printed}");
        assert_eq!(printed.lines().count(), 1);
        assert_ne!(portal(arguments).succeeded().out, printed, "each link is another");
    }
    let object: serde_json::Value =
        serde_json::from_str(&portal(&["-w", "acme", "--json", "--expires-in", "1m"]).succeeded().out)
            .unwrap();
    assert!(object["url"].is_string() && object["expires_at"].is_string());
    for wrong in
        [&[][..], &["--workspace", "acme", "--operator"], &["-w", "a b"], &["-w", "a", "--expires-in", "25h"]]
    {
        assert_eq!(portal(wrong).code, Some(2), "{wrong:?}");
    }
}

#[test]
fn a_link_takes_what_the_product_wants_and_refuses_what_no_browser_should_follow() {
    let home = Home::ready();
    let portal = |arguments: &[&str]| {
        let mut command = home.program(&[&["webhooks", "portal", "-w", "acme"], arguments].concat());
        Ran::of(command.env("WEBHOOK_ASSETS_CONSOLE_URL", "https://hooks.example.com"))
    };
    let plain = portal(&[]).succeeded().out;
    let full = [
        ["--return-url", "https://app.example.com/settings"],
        ["--embed-origin", "https://app.example.com"],
        ["--embed-origin", "https://beta.example.com"],
        ["--color", "#0a7d4f"],
        ["--logo-url", "https://app.example.com/logo.svg"],
    ];
    assert!(portal(&full.concat()).succeeded().out.len() > plain.len() + 200);
    for [flag, wrong] in [
        ["--return-url", "javascript:alert(1)"],
        ["--embed-origin", "https://*.example.com"],
        ["--color", "red"],
        ["--logo-url", "http://app.example.com/logo.svg"],
    ] {
        let refused = portal(&[flag, wrong]);
        assert_eq!(refused.code, Some(2), "{flag}");
        assert!(refused.err.contains(&format!("{flag} takes")), "{}", refused.err);
    }
}

#[test]
fn without_a_public_address_it_says_which_setting_names_one() {
    let home = Home::ready();
    home.run(&["webhooks", "portal", "--operator"])
        .refused(64, &["console.url", "WEBHOOK_ASSETS_CONSOLE_URL"]);
}

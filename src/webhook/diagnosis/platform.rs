//! Diagnoses responses of n8n, Make and Zapier, whose bodies say more than their status.

use super::facts::Diagnosis;
use crate::webhook::endpoint_url::EndpointUrl;
use crate::webhook::post::ReceiverResponse;

pub(super) fn answered(url: &EndpointUrl, answer: &ReceiverResponse) -> Option<Diagnosis> {
    let host = url.host();
    if is_make(host) {
        make(answer)
    } else if host == "hooks.zapier.com" {
        zapier(answer)
    } else {
        // n8n runs on any host, so its messages identify it.
        n8n(url, answer).or_else(|| ngrok(answer))
    }
}

pub(super) fn is_n8n_test_url(url: &EndpointUrl) -> bool {
    url.path().contains("/webhook-test/")
}

/// Advice for a receiver that does its work before it answers.
pub(super) fn how_to_answer_sooner(url: &EndpointUrl) -> &'static str {
    let n8n = is_n8n_test_url(url) || url.path().contains("/webhook/") || url.host().ends_with(".n8n.cloud");
    if n8n {
        "If this is n8n, set the Webhook node's Respond to “Immediately”: otherwise the answer comes only when the \
         workflow, downloads included, is done."
    } else if is_make(url.host()) {
        "In Make, let the Webhook response module stand first in the scenario, or leave it out."
    } else {
        "Let the receiver answer 200 first and do its work afterwards."
    }
}

pub(super) fn takes_every_method(host: &str) -> bool {
    is_make(host) || host == "hooks.zapier.com"
}

fn is_make(host: &str) -> bool {
    let domains = [".make.com", ".integromat.com", ".make.celonis.com"];
    host.starts_with("hook.") && domains.iter().any(|domain| host.ends_with(domain))
}

/// The messages of n8n's `WebhookNotFoundError` and `webhook-helpers` (2.41).
fn n8n(url: &EndpointUrl, answer: &ReceiverResponse) -> Option<Diagnosis> {
    let says = |words: &str| answer.excerpt.contains(words);
    match answer.status {
        404 if says("webhook is not registered for POST requests") => Some(n8n_method(answer)),
        404 if says("The requested webhook") && says("is not registered") => Some(n8n_not_listening(url)),
        403 if says("Authorization data is wrong!") => Some(
            Diagnosis::new("n8n_credentials", "n8n refuses the webhook: its Webhook node wants credentials.")
                .advise(
                    "Give this endpoint the header or the Basic credentials that the node asks for; or set its Authentication \
                     to None, and check the signature in the workflow.",
                ),
        ),
        500 if says("Error in workflow") || says("There was a problem executing the workflow") => Some(
            Diagnosis::new("n8n_workflow_failed", "n8n took the webhook, and its workflow failed.")
                .advise("See the workflow's Executions in n8n for the node that failed."),
        ),
        _ => None,
    }
}

fn n8n_method(answer: &ReceiverResponse) -> Diagnosis {
    // The message names one or several methods from n8n's own list.
    let asked = answer.excerpt.split("Did you mean to make a ").nth(1).unwrap_or_default();
    let methods = ["GET", "PUT", "PATCH", "DELETE", "HEAD"];
    let asked = asked.split(" request").next().unwrap_or_default();
    let set: Vec<_> = methods.into_iter().filter(|method| asked.contains(method)).collect();
    let set = if set.is_empty() { "another method".to_owned() } else { set.join(" or ") };
    Diagnosis::new("n8n_method", format!("This n8n Webhook node is set to {set}, and webhooks are POSTs."))
        .advise("Set the Webhook node's HTTP Method to POST, and publish the workflow again.")
}

fn n8n_not_listening(url: &EndpointUrl) -> Diagnosis {
    if is_n8n_test_url(url) {
        return Diagnosis::new("n8n_test_url", "n8n is not listening at this test URL.").advise(
            "A test URL takes one call within 120 s after “Listen for test event” was clicked. For real calls, publish \
             the workflow and use the Webhook node's production URL.",
        );
    }
    Diagnosis::new("n8n_inactive", "n8n has no active workflow for this URL.").advise(
        "Publish the workflow (or switch it to Active), and compare the path with the Webhook node's production URL.",
    )
}

fn make(answer: &ReceiverResponse) -> Option<Diagnosis> {
    Some(match answer.status {
        400 if answer.excerpt.contains("Queue is full") => {
            Diagnosis::new("make_queue_full", "Make's queue for this webhook is full.").advise(
                "It empties when the scenario runs: turn the scenario on, or let it run more often. Then send the \
                 webhook again.",
            )
        }
        404 | 410 => Diagnosis::new("make_gone", "Make has nothing that listens to this webhook.").advise(
            "Attach the webhook to a scenario and turn that on. Make deletes the URL of a webhook that was attached to \
             nothing for 120 hours: in that case, make a new one and set its URL here.",
        ),
        413 => Diagnosis::new("make_too_large", "The webhook is larger than Make's 5 MB."),
        429 => Diagnosis::new("make_rate", "Make takes 300 webhooks in 10 s, and this was one more.")
            .advise("Later attempts get through. If it happens often, spread the work over several webhooks."),
        500 => Diagnosis::new("make_scenario_failed", "Make took the webhook, and its scenario failed.")
            .advise("See the scenario's History in Make for the module that failed."),
        _ => return None,
    })
}

fn zapier(answer: &ReceiverResponse) -> Option<Diagnosis> {
    Some(match answer.status {
        404 | 410 => {
            Diagnosis::new("zapier_gone", "Zapier no longer knows this hook: the Zap is off or deleted.")
                .advise("Turn the Zap on, or copy the URL of its Catch Hook again.")
        }
        413 => Diagnosis::new("zapier_too_large", "The webhook is larger than Zapier's 10 MB."),
        429 => Diagnosis::new("zapier_rate", "Zapier takes no more webhooks for the moment.")
            .advise("Later attempts get through. If it happens often, your Zapier plan limits the rate."),
        _ => return None,
    })
}

/// A closed developer tunnel.
fn ngrok(answer: &ReceiverResponse) -> Option<Diagnosis> {
    answer.excerpt.contains("ERR_NGROK_").then(|| {
        Diagnosis::new("ngrok", "The ngrok tunnel at this URL leads nowhere.")
            .advise("Start the tunnel and the program behind it, and set the URL that ngrok shows.")
    })
}

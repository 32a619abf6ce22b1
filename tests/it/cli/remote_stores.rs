//! What `check` and the log say about a remote store that refuses: words that name the cause and no secret.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::{Home, Ran, Server};
use crate::support::odd_store::{OddStore, Reply, StoreRequest, USUAL, WAYS, Way, served};

/// A store that gives every request this answer, a program that uses it, and what `check` says.
async fn checked(
    way: Way,
    answer: impl Fn(&StoreRequest) -> Reply + Send + Sync + 'static,
) -> (OddStore, Home, Ran) {
    let store = OddStore::answering(way, answer).await;
    let home = Arc::new(Home::ready());
    let (of_check, variables) = (Arc::clone(&home), store.variables());
    let ran = tokio::task::spawn_blocking(move || Ran::of(of_check.program(&["check"]).envs(variables)));
    let ran = ran.await.unwrap();
    (store, Arc::into_inner(home).unwrap(), ran)
}

/// Starts the program and has it fail a request.
async fn log_of(store: &OddStore, home: Home, words: &'static [&'static str]) -> String {
    let variables = store.variables();
    let logged = tokio::task::spawn_blocking(move || {
        let mut command = home.program(&["serve"]);
        command.envs(variables);
        let server = Server::start(command);
        let answer = server.get(&home.link());
        assert!(answer.status >= 500, "{answer:?}");
        words.iter().for_each(|word| server.running.logs(word));
        server.running.err()
    });
    logged.await.unwrap()
}

fn hides_all(text: &str) {
    for secret in
        ["hunter2", "secret.example", "AKIAEXAMPLE", "nobody-may-see-this", "localhost", "/bucket", "<"]
    {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn each_cause_has_words_in_check_and_in_the_log() {
    let causes: [(u16, &str, &[&str]); 14] = [
        (301, "PermanentRedirect", &["301 PermanentRedirect", "another region", "AWS_REGION"]),
        (301, "", &["301", "another region", "AWS_REGION"]),
        (307, "TemporaryRedirect", &["307 TemporaryRedirect", "another region"]),
        (400, "AuthorizationHeaderMalformed", &["400 AuthorizationHeaderMalformed", "AWS_REGION"]),
        (400, "IllegalLocationConstraintException", &["IllegalLocationConstraintException", "AWS_REGION"]),
        (400, "KMS.DisabledException", &["400 KMS.DisabledException", "encryption key"]),
        (400, "KMS.NotFoundException", &["400 KMS.NotFoundException", "encryption key"]),
        (403, "InvalidObjectState", &["403 InvalidObjectState", "archived"]),
        (409, "BlobArchived", &["409 BlobArchived", "archived"]),
        (403, "RequestTimeTooSkewed", &["403 RequestTimeTooSkewed", "clock", "NTP"]),
        (403, "AccessDenied", &["403 AccessDenied", "s3:GetObject"]),
        (405, "MethodNotAllowed", &["405 MethodNotAllowed", "delete marker"]),
        (418, "What.Ever-Else_9", &["418 What.Ever-Else_9"]),
        (404, "NoSuchBucket", &["404 NoSuchBucket", "correct the bucket"]),
    ];
    for (at, (status, code, words)) in causes.into_iter().enumerate() {
        let way = WAYS[at % 2];
        let (store, home, ran) = checked(way, move |request| Reply::error(request, status, code)).await;
        let failed: Vec<_> = ran.out.lines().filter(|line| line.starts_with("FAIL")).collect();
        assert_eq!((ran.code, failed.len()), (Some(1), 1), "{ran:?}");
        assert!(words.iter().all(|word| failed[0].contains(word)), "{words:?}: {failed:?}");
        hides_all(failed[0]);
        let log = log_of(&store, home, words).await;
        hides_all(&log.lines().filter(|line| line.contains("store")).collect::<String>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_region_is_named_if_the_store_names_it() {
    for way in WAYS {
        let (_store, _home, ran) = checked(way, |request| {
            let body = b"<Error><Code>PermanentRedirect</Code></Error>";
            Reply::whole(request, 301, &[("x-amz-bucket-region", "ap-south-2")], body)
        })
        .await;
        ran.says(&["301 PermanentRedirect", "the bucket is in the region ap-south-2: correct AWS_REGION"]);
    }
}

fn date(ahead: i64) -> String {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs().saturating_add_signed(ahead);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(now))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_clock_that_is_ten_minutes_off_is_reported() {
    for way in WAYS {
        for (ahead, words) in [(600, "behind the store's"), (-600, "ahead of the store's")] {
            // The store still allows reads.
            let (_store, _home, ran) = checked(way, move |request| {
                Reply::whole(
                    request,
                    404,
                    &[("Date", &date(ahead))],
                    b"<Error><Code>NoSuchKey</Code></Error>",
                )
            })
            .await;
            let line = ran.out.lines().find(|line| line.contains(words)).unwrap_or_else(|| panic!("{ran:?}"));
            assert!(line.starts_with("FAIL") && line.contains("NTP"), "{line}");
            assert!(line.contains("10m") || line.contains("9m"), "{line}");
            // The store allows no reads.
            let (store, home, ran) = checked(way, move |request| {
                let body = b"<Error><Code>RequestTimeTooSkewed</Code></Error>";
                Reply::whole(request, 403, &[("Date", &date(ahead))], body)
            })
            .await;
            let ran = ran.says(&["403 RequestTimeTooSkewed", words, "NTP"]);
            assert_eq!(ran.code, Some(1));
            log_of(&store, home, &["RequestTimeTooSkewed", "this machine's clock is", "NTP"]).await;
        }
        let (_store, _home, ran) = checked(way, |request| {
            Reply::whole(request, 404, &[("Date", &date(1))], b"<Error><Code>NoSuchKey</Code></Error>")
        })
        .await;
        assert!(!ran.out.contains("the store's"), "{ran:?}");
    }
}

/// The log names an answer that contradicts itself, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_odd_answer_is_named_in_the_log() {
    for way in WAYS {
        let store = OddStore::answering(way, |request| {
            let fields = [USUAL[0], USUAL[1], ("Content-Encoding", "compress")];
            served(request, &fields, b"odd")
        })
        .await;
        let log = log_of(&store, Home::ready(), &["Content-Encoding compress"]).await;
        hides_all(&log.lines().filter(|line| line.contains("compress")).collect::<String>());
    }
}

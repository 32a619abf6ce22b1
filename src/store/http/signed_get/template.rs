//! Writes signed requests from the form of one that object_store has made.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, IF_NONE_MATCH, RANGE};
use object_store::aws::AwsCredential;
use sha2::{Digest, Sha256};

use super::captured::Captured;
use super::signature::{Date, SigningKey};
use crate::store::http::http1::pool::Origin;

const PAYLOAD_HASH: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The fields that a template can write. The others are a reason to leave all requests to object_store.
const KNOWN: [HeaderName; 6] = [AUTHORIZATION, IF_NONE_MATCH, RANGE, PAYLOAD_HASH, DATE, TOKEN];

/// The most fields of a request: these and the host.
const MAX_FIELDS: usize = 7;

/// The parts of a request that differ from one to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Get<'r> {
    /// `GET` or `HEAD`.
    pub(super) method: &'r str,
    /// The object's path below the store's, in characters that a URL does not encode.
    pub(super) location: &'r str,
    pub(super) if_none_match: Option<&'r str>,
    pub(super) range: Option<&'r str>,
}

impl Get<'_> {
    /// Whether all of it can be written and signed as it is.
    pub(super) fn is_plain(&self) -> bool {
        let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._".contains(&byte);
        let is_graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        self.location.bytes().all(is_unreserved) && self.if_none_match.is_none_or(is_graphic)
    }
}

/// The form of the requests to one bucket.
#[derive(Debug)]
pub(super) struct Template {
    pub(super) origin: Origin,
    /// The path before an object's location, with a slash at its end.
    base: String,
    region: String,
    payload_hash: String,
    key: ArcSwapOption<SigningKey>,
}

impl Template {
    /// Learns the form of the request `get`, which object_store has signed with `credential`. `None` if the template
    /// would write anything else.
    pub(super) fn learn(captured: &Captured, get: &Get<'_>, credential: &Arc<AwsCredential>) -> Option<Self> {
        let fields = &captured.fields;
        let is_known = |name: &HeaderName| KNOWN.contains(name) && fields.get_all(name).iter().count() == 1;
        if captured.uri.query().is_some() || !fields.keys().all(is_known) {
            return None;
        }
        let text = |name: &HeaderName| fields.get(name)?.to_str().ok();
        let authorization = text(&AUTHORIZATION)?;
        let template = Self {
            origin: captured.origin.clone(),
            base: captured.uri.path().strip_suffix(get.location)?.to_owned(),
            region: authorization.split_once("/s3/aws4_request,")?.0.rsplit_once('/')?.1.to_owned(),
            payload_hash: text(&PAYLOAD_HASH)?.to_owned(),
            key: ArcSwapOption::empty(),
        };
        let date = Date::read(text(&DATE)?);
        let mut written = Vec::new();
        template.write(get, credential, &date, &HeaderMap::new(), &mut written)?;
        reproduces(&written, captured).then_some(template)
    }

    /// Writes the head of a request. `None` if the credential cannot be written.
    pub(super) fn write(
        &self,
        get: &Get<'_>,
        credential: &Arc<AwsCredential>,
        date: &Date,
        unsigned: &HeaderMap,
        head: &mut Vec<u8>,
    ) -> Option<()> {
        let key = self.key(credential, date)?;
        let host = self.origin.host.as_str();
        let fields = [
            ("host", Some(host)),
            ("if-none-match", get.if_none_match),
            ("range", get.range),
            ("x-amz-content-sha256", Some(&*self.payload_hash)),
            ("x-amz-date", Some(date.as_str())),
            ("x-amz-security-token", credential.token.as_deref()),
        ];
        let fields = || fields.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| head.extend_from_slice(part.as_bytes()));
        put(&[get.method, " ", &self.base, get.location, " HTTP/1.1\r\n"]);
        // The canonical request has the same parts in the same order.
        let mut canonical = Sha256::new();
        let mut sign = |parts: &[&str]| parts.iter().for_each(|part| canonical.update(part));
        sign(&[get.method, "\n", &self.base, get.location, "\n\n"]);
        for (name, value) in fields() {
            put(&[name, ": ", value, "\r\n"]);
            sign(&[name, ":", value, "\n"]);
        }
        put(&["authorization: AWS4-HMAC-SHA256 Credential=", &credential.key_id, "/", &key.scope]);
        put(&[", SignedHeaders="]);
        for (at, (name, _)) in fields().enumerate() {
            let separator = if at == 0 { "" } else { ";" };
            put(&[separator, name]);
            sign(&[if at == 0 { "\n" } else { ";" }, name]);
        }
        sign(&["\n", &self.payload_hash]);
        put(&[", Signature=", &key.sign(date, canonical), "\r\n"]);
        for (name, value) in unsigned {
            put(&[name.as_str(), ": ", value.to_str().ok()?, "\r\n"]);
        }
        put(&["\r\n"]);
        Some(())
    }

    /// The key for a credential, kept for its day.
    fn key(&self, credential: &Arc<AwsCredential>, date: &Date) -> Option<Arc<SigningKey>> {
        if let Some(key) = &*self.key.load()
            && key.fits(credential, date)
        {
            return Some(Arc::clone(key));
        }
        let key = Arc::new(SigningKey::derive(Arc::clone(credential), date, &self.region)?);
        self.key.store(Some(Arc::clone(&key)));
        Some(key)
    }
}

/// Whether these bytes are the head of the captured request.
fn reproduces(written: &[u8], captured: &Captured) -> bool {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let is_whole = request.parse(written).is_ok_and(|parsed| parsed.is_complete());
    let is_captured = |field: &httparse::Header<'_>| match field.name {
        "host" => field.value == captured.origin.host.as_str().as_bytes(),
        name => captured.fields.get(name).is_some_and(|value| value == field.value),
    };
    is_whole
        && request.path == Some(captured.uri.path())
        && request.headers.len() == captured.fields.len() + 1
        && request.headers.iter().all(is_captured)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::uri::Authority;

    use super::*;
    use crate::clock::UnixSeconds;

    const AT: UnixSeconds = UnixSeconds(1_790_000_000);

    fn credential(token: Option<&str>) -> Arc<AwsCredential> {
        let (key_id, secret_key) = ("AKIA/EXAMPLE".to_owned(), "secret".to_owned());
        Arc::new(AwsCredential { key_id, secret_key, token: token.map(str::to_owned) })
    }

    fn get<'r>(location: &'r str, range: Option<&'r str>) -> Get<'r> {
        Get { method: "GET", location, if_none_match: None, range }
    }

    fn template() -> Template {
        Template {
            origin: Origin { host: Authority::from_static("store:9000"), tls: false },
            base: "/bucket/a%20prefix/".to_owned(),
            region: "eu-central-1".to_owned(),
            payload_hash: "hash".to_owned(),
            key: ArcSwapOption::empty(),
        }
    }

    /// The request as a template writes it, taken apart again.
    fn captured(written: &[u8]) -> Captured {
        let mut fields = [httparse::EMPTY_HEADER; 16];
        let mut request = httparse::Request::new(&mut fields);
        assert!(request.parse(written).unwrap().is_complete());
        let mut found = HeaderMap::new();
        for field in request.headers.iter().filter(|field| field.name != "host") {
            let name: HeaderName = field.name.parse().unwrap();
            found.insert(name, HeaderValue::from_bytes(field.value).unwrap());
        }
        let uri = format!("http://store:9000{}", request.path.unwrap());
        Captured { origin: template().origin, uri: uri.parse().unwrap(), fields: found }
    }

    fn written(get: &Get<'_>, credential: &Arc<AwsCredential>) -> Vec<u8> {
        let mut head = Vec::new();
        template().write(get, credential, &Date::of(AT), &HeaderMap::new(), &mut head).unwrap();
        head
    }

    #[test]
    fn a_template_is_learnt_from_a_request_that_it_reproduces() {
        for token in [None, Some("token")] {
            let (credential, get) = (credential(token), get("recordings/a.mp3", Some("bytes=0-9")));
            let first = captured(&written(&get, &credential));
            let learnt = Template::learn(&first, &get, &credential).unwrap();
            let other = self::get("transcripts/b.json", None);
            let mut head = Vec::new();
            learnt.write(&other, &credential, &Date::of(AT), &HeaderMap::new(), &mut head).unwrap();
            assert_eq!(head, written(&other, &credential));
        }
    }

    #[test]
    fn a_request_that_a_template_would_not_reproduce_teaches_nothing() {
        let (credential, get) = (credential(None), get("recordings/a.mp3", None));
        let change = |change: &dyn Fn(&mut Captured)| {
            let mut captured = captured(&written(&get, &credential));
            change(&mut captured);
            Template::learn(&captured, &get, &credential).is_none()
        };
        assert!(!change(&|_| ()));
        assert!(change(&|it| it.uri = "http://store:9000/bucket/recordings/other.mp3".parse().unwrap()));
        assert!(
            change(&|it| it.uri = "http://store:9000/b/recordings/a.mp3".parse().unwrap()),
            "another path"
        );
        assert!(change(&|it| it.uri = format!("{}?versionId=1", it.uri).parse().unwrap()));
        assert!(
            change(&|it| it.origin.host = Authority::from_static("store:9001")),
            "another host is signed"
        );
        for field in ["x-amz-request-payer", "x-amz-server-side-encryption-customer-key", "x-other"] {
            assert!(change(&|it| drop(it.fields.insert(field, HeaderValue::from_static("x")))), "{field}");
        }
        assert!(change(&|it| drop(it.fields.remove("authorization"))), "anonymous");
        let newer = Arc::new(AwsCredential { secret_key: "newer".into(), ..copy(&credential) });
        let first = captured(&written(&get, &credential));
        assert!(Template::learn(&first, &get, &newer).is_none(), "another credential");
    }

    fn copy(credential: &AwsCredential) -> AwsCredential {
        let AwsCredential { key_id, secret_key, token } = credential;
        AwsCredential { key_id: key_id.clone(), secret_key: secret_key.clone(), token: token.clone() }
    }

    #[test]
    fn the_key_changes_with_the_day_and_the_credential() {
        let (template, first) = (template(), credential(None));
        let key = |credential: &Arc<AwsCredential>, at| template.key(credential, &Date::of(at)).unwrap();
        let day = key(&first, AT);
        assert!(Arc::ptr_eq(&day, &key(&first, AT)));
        assert!(!Arc::ptr_eq(&day, &key(&first, UnixSeconds(AT.0 + 86_400))));
        assert!(!Arc::ptr_eq(&day, &key(&credential(None), AT)));
    }

    #[test]
    fn only_what_needs_no_escape_is_plain() {
        assert!(get("recordings/550e8400-e29b-41d4-a716-446655440000.mp3", None).is_plain());
        assert!(!get("a b", None).is_plain());
        assert!(!Get { if_none_match: Some("\"a  b\""), ..get("a", None) }.is_plain());
    }
}

//! An [`ObjectStore`] that signs and sends GET and HEAD itself, and leaves the rest to object_store.

use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::stream::BoxStream;
use futures_util::{StreamExt, stream};
use http::{Extensions, HeaderMap, Method, StatusCode};
use object_store::aws::AwsCredentialProvider;
use object_store::client::{HttpError, HttpErrorKind};
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult,
    MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::captured::CapturedRequest;
use super::signature::Date;
use super::template::{Get, Template};
use crate::clock::{Clock, SystemClock};
use crate::store::http::http1::body::ReceivedBody;
use crate::store::http::http1::client::{Http1Client, NotPlain};
use crate::store::http::http1::exchange::Answer;
use crate::store::http::http1::head::Fields;
use crate::store::http::response::{ErrorResponse, ExactObject, ObjectRequest, is_retryable};
use crate::telemetry::trace;

const NAME: &str = "S3";

/// After this many requests that teach nothing, object_store sends all requests.
const MAX_LESSONS: u8 = 8;

/// The room for the head of a request, in bytes: tokens make some heads longer.
const HEAD: usize = 1024;

/// A bucket of S3 or of a store like it.
#[derive(Debug)]
pub(crate) struct SignedGetStore {
    objects: Arc<dyn ObjectStore>,
    credentials: AwsCredentialProvider,
    client: Arc<Http1Client>,
    template: OnceLock<Template>,
    lessons: AtomicU8,
}

/// What became of a request.
enum Sent {
    Answered(Result<GetResult>),
    /// The store refuses, and object_store would not ask again.
    Refused(Answer),
    /// object_store has to send it with its own client, because the response is not plain.
    NotPlain,
    /// object_store has to send it.
    Declined,
}

impl SignedGetStore {
    pub(crate) fn new(
        objects: Arc<dyn ObjectStore>,
        credentials: AwsCredentialProvider,
        client: Arc<Http1Client>,
    ) -> Self {
        Self { objects, credentials, client, template: OnceLock::new(), lessons: AtomicU8::new(0) }
    }

    /// Lets object_store send the request, and learns its form.
    async fn learn(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        if self.lessons.load(Ordering::Relaxed) >= MAX_LESSONS {
            return self.objects.get_opts(location, options).await;
        }
        let (captured, asked) = (CapturedRequest::default(), options.clone());
        options.extensions.insert(captured.clone());
        let result = self.objects.get_opts(location, options).await;
        if let Some(captured) = captured.get()
            && let Ok(credential) = self.credentials.get_credential().await
        {
            let range = asked.range.as_ref().map(ToString::to_string);
            let get = get_of(location, &asked, range.as_deref());
            match get.and_then(|get| Template::learn(captured, &get, &credential)) {
                Some(template) => drop(self.template.set(template)),
                None => drop(self.lessons.fetch_add(1, Ordering::Relaxed)),
            }
        }
        result
    }

    async fn send(&self, template: &Template, location: &Path, options: &GetOptions) -> Sent {
        let range = options.range.as_ref().map(ToString::to_string);
        let Some((get, request)) =
            get_of(location, options, range.as_deref()).zip(options.extensions.get::<ObjectRequest>())
        else {
            return Sent::Declined;
        };
        let Ok(credential) = self.credentials.get_credential().await else { return Sent::Declined };
        let (date, mut head, mut unsigned) =
            (Date::cached(SystemClock.now()), Vec::with_capacity(HEAD), HeaderMap::new());
        trace::inject(&mut unsigned);
        if self.client.falls_back()
            || template.write(&get, &credential, &date, &unsigned, &mut head).is_none()
        {
            return Sent::Declined;
        }
        let method = if options.head { Method::HEAD } else { Method::GET };
        match self.client.exchange(&template.origin, &head, &method, Fields::OfAnObject).await {
            Ok(Some(answer)) => result_of(answer, request, location),
            Ok(None) => Sent::NotPlain,
            // object_store retries.
            Err(_) => Sent::Declined,
        }
    }
}

/// The request for an object, if a template can write it.
fn get_of<'r>(location: &'r Path, options: &'r GetOptions, range: Option<&'r str>) -> Option<Get<'r>> {
    let GetOptions { if_match, if_none_match, if_modified_since, if_unmodified_since, version, .. } = options;
    let is_known = if_match.is_none()
        && if_modified_since.is_none()
        && if_unmodified_since.is_none()
        && version.is_none();
    let method = if options.head { "HEAD" } else { "GET" };
    let (location, if_none_match) = (location.as_ref(), if_none_match.as_deref());
    let get = Get { method, location, if_none_match, range };
    (is_known && get.is_plain()).then_some(get)
}

/// Sorts a response.
fn result_of(answer: Answer, request: &ObjectRequest, location: &Path) -> Sent {
    let status = answer.head.status;
    match status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => {
            let object = ExactObject::of(request, status, &answer.head.fields);
            object.map_or(Sent::Declined, |object| {
                Sent::Answered(Ok(object_result(object, answer.body, location.clone())))
            })
        }
        StatusCode::NOT_MODIFIED if request.conditional => {
            let (path, source) = (location.to_string(), "it answered 304".into());
            Sent::Answered(Err(Error::NotModified { path, source }))
        }
        status if is_retryable(status.as_u16()) || status.is_success() => Sent::Declined,
        _ => Sent::Refused(answer),
    }
}

async fn refusal(answer: Answer, is_head: bool) -> Error {
    Error::Generic { store: NAME, source: ErrorResponse::read(is_head, answer.into()).await.into() }
}

fn object_result(object: ExactObject, body: ReceivedBody, location: Path) -> GetResult {
    let ExactObject { range, size, tag, last_modified, coding } = object;
    let meta = ObjectMeta {
        location,
        last_modified: last_modified.into(),
        size,
        e_tag: Some(tag).filter(|tag| !tag.is_empty()),
        version: None,
    };
    let mut attributes = Attributes::new();
    if let Some(coding) = coding.and_then(|coding| Some(coding.to_str().ok()?.to_owned())) {
        attributes.insert(Attribute::ContentEncoding, coding.into());
    }
    let mut extensions = Extensions::new();
    let payload = match body {
        ReceivedBody::Whole(bytes) => stream::iter([Ok(bytes)]).boxed(),
        ReceivedBody::Raw(raw) => {
            extensions.insert(raw.clone());
            stream::poll_fn(move |cx| raw.poll_read(cx).map(|read| read.map(|read| read.map_err(broken))))
                .boxed()
        }
    };
    GetResult { payload: GetResultPayload::Stream(payload), meta, range, attributes, extensions }
}

fn broken(error: std::io::Error) -> Error {
    let source = HttpError::new(HttpErrorKind::Interrupted, error);
    Error::Generic { store: NAME, source: source.into() }
}

impl fmt::Display for SignedGetStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.objects.fmt(f)
    }
}

#[async_trait::async_trait]
impl ObjectStore for SignedGetStore {
    async fn get_opts(&self, location: &Path, mut options: GetOptions) -> Result<GetResult> {
        let Some(template) = self.template.get() else {
            return Box::pin(self.learn(location, options)).await;
        };
        match self.send(template, location, &options).await {
            Sent::Answered(result) => return result,
            Sent::Refused(answer) => return Err(Box::pin(refusal(answer, options.head)).await),
            Sent::NotPlain => drop(options.extensions.insert(NotPlain)),
            Sent::Declined => {}
        }
        self.objects.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.objects.delete_stream(locations)
    }

    async fn put_opts(&self, location: &Path, bytes: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.objects.put_opts(location, bytes, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.objects.put_multipart_opts(location, options).await
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.objects.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.objects.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.objects.copy_opts(from, to, options).await
    }
}

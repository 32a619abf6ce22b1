//! What a store answers to a request for an object, before object_store sees it: stores differ in what they say of an object,
//! and object_store takes one way of saying it. What can be told from the bytes that are there is put in that way;
//! what cannot, and what is no object, becomes an error that says what the store answered ([`ErrorResponse`], [`InvalidResponse`]).

mod error_response;
mod head;
mod range;
mod unsized_body;

pub(crate) use error_response::{ErrorResponse, InvalidResponse, between, code, is_retryable};
pub(crate) use head::tag_of;
pub(crate) use unsized_body::UnsizedBody;

use std::error::Error;

use http::header::{HeaderName, IF_NONE_MATCH, RANGE};
use http::{Extensions, Method, StatusCode};
use object_store::client::{HttpError, HttpRequest, HttpResponse};

use crate::store::span::Span;

/// Marks a request for an object among the extensions that object_store hands on. Others, which are for credentials,
/// are none of our business.
#[derive(Debug, Clone, Copy)]
struct ForObject;

/// The extensions of a request for an object.
pub(crate) fn for_object() -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(ForObject);
    extensions
}

/// What was asked.
#[derive(Debug)]
pub(crate) struct ObjectRequest {
    head: bool,
    conditional: bool,
    range: Option<Span>,
    /// Whether object_store takes no object without an entity tag: it does of S3.
    insists_on_tag: bool,
}

/// A field of every signed request to S3.
const SIGNED_FOR_S3: HeaderName = HeaderName::from_static("x-amz-content-sha256");

impl ObjectRequest {
    /// What a request asks, if it is one for an object.
    pub(crate) fn of(request: &HttpRequest) -> Option<Self> {
        request.extensions().get::<ForObject>()?;
        let fields = request.headers();
        Some(Self {
            head: request.method() == Method::HEAD,
            conditional: fields.contains_key(IF_NONE_MATCH),
            range: fields.get(RANGE).and_then(range::asked),
            insists_on_tag: !fields.contains_key(SIGNED_FOR_S3),
        })
    }
}

/// The answer as object_store understands it.
///
/// # Errors
/// A [`ErrorResponse`] or [`InvalidResponse`] at the end of the error's chain, if it is no object.
pub(crate) async fn normalize(
    asked: &ObjectRequest,
    answer: HttpResponse,
) -> Result<HttpResponse, HttpError> {
    match answer.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
            head::plain(asked, answer)
        }
        StatusCode::NOT_MODIFIED if asked.conditional => Ok(answer),
        StatusCode::NOT_MODIFIED => {
            Err(InvalidResponse("it answered 304 although no condition was set").into())
        }
        _ => Err(ErrorResponse::read(asked.head, answer).await.into()),
    }
}

/// The error of type `E` in a chain of errors.
pub(crate) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

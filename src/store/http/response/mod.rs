//! Normalizes the responses of stores to requests for objects, before object_store reads them. Stores describe objects
//! differently, and object_store accepts one form. A response that determines an object is converted to that form. Any
//! other response becomes an error that describes it ([`ErrorResponse`], [`InvalidResponse`]).
//!
//! In reading order, each file imports only from those above it.

mod error_response;
mod range;
mod request;
mod unsized_body;

mod head;

pub(crate) use error_response::{ErrorResponse, InvalidResponse, answered, between, code, is_retryable};
pub(crate) use head::{ExactObject, tag_of};
pub(crate) use request::ObjectRequest;
pub(crate) use unsized_body::UnsizedBody;

use std::error::Error;

use http::StatusCode;
use object_store::client::{HttpError, HttpResponse};

/// Normalizes a response for object_store.
///
/// # Errors
/// An [`ErrorResponse`] or [`InvalidResponse`] at the end of the error's chain, if the response has no object.
pub(crate) async fn normalize(
    request: &ObjectRequest,
    response: HttpResponse,
) -> Result<HttpResponse, HttpError> {
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::NON_AUTHORITATIVE_INFORMATION => {
            head::normalize(request, response)
        }
        StatusCode::NOT_MODIFIED if request.conditional => Ok(response),
        StatusCode::NOT_MODIFIED => {
            Err(InvalidResponse("it answered 304 although no condition was set").into())
        }
        _ => Err(ErrorResponse::read(request.head, response).await.into()),
    }
}

/// Finds the error of type `E` in a chain of errors.
pub(crate) fn find<'e, E: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e E> {
    std::iter::successors(Some(error), |&error| error.source()).find_map(|error| error.downcast_ref())
}

//! Why a request is not taken, and how that is said in HTTP and in gRPC.

use std::time::Duration;

use http::StatusCode;

use crate::store::StoreError;

/// A disk is not tidied up within seconds.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(30);

/// Why a request is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// It cannot be read, and never will be.
    #[error("{0}")]
    Malformed(String),
    /// It is over one of our limits.
    #[error("{0}")]
    TooLarge(String),
    /// A content type we do not know.
    #[error("content-type must be application/x-protobuf or application/json, not {0:?}")]
    UnknownType(String),
    /// A compression we do not know.
    #[error("content-encoding must be gzip, zstd or identity, not {0:?}")]
    UnknownEncoding(String),
    /// The sender stopped in the middle, or took too long.
    #[error("the request did not arrive whole: {0}")]
    Gone(String),
    /// Too many requests are being read.
    #[error("too many requests at once; try again in {0:?}")]
    Busy(Duration),
    /// The store did not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Refusal {
    /// When it makes sense to send the same again; `None` if it never does.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Malformed(_) | Self::TooLarge(_) | Self::UnknownType(_) | Self::UnknownEncoding(_) => None,
            Self::Gone(_) => None,
            Self::Busy(retry_after) => Some(*retry_after),
            Self::Store(StoreError::Overloaded { retry_after }) => Some(*retry_after),
            Self::Store(StoreError::Full(_) | StoreError::Failed(_)) => Some(FULL_RETRY_AFTER),
        }
    }

    /// The same in whole seconds, rounded up: what `Retry-After` can say.
    pub(super) fn retry_after_seconds(&self) -> Option<u64> {
        self.retry_after().map(|after| after.as_secs() + u64::from(after.subsec_nanos() > 0))
    }

    pub(super) fn http_status(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnknownType(_) | Self::UnknownEncoding(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Gone(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// gRPC's status code. RESOURCE_EXHAUSTED may be tried again only with a RetryInfo, which a size does not get.
    pub(super) fn grpc_status(&self) -> u8 {
        match self {
            Self::Malformed(_) | Self::UnknownType(_) => 3,
            Self::TooLarge(_) | Self::Busy(_) | Self::Store(StoreError::Overloaded { .. } | StoreError::Full(_)) => 8,
            Self::UnknownEncoding(_) => 12,
            Self::Gone(_) => 1,
            Self::Store(StoreError::Failed(_)) => 14,
        }
    }

    /// The word under which it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::TooLarge(_) => "too_large",
            Self::UnknownType(_) | Self::UnknownEncoding(_) => "unknown_encoding",
            Self::Gone(_) => "incomplete",
            Self::Busy(_) | Self::Store(StoreError::Overloaded { .. }) => "overloaded",
            Self::Store(StoreError::Full(_)) => "disk_full",
            Self::Store(StoreError::Failed(_)) => "failed",
        }
    }
}

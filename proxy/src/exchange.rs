//! One request and its answer, as `carry` handles them.

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use raceway_tls::Peer;

use crate::failure::Failure;
use crate::message::{RequestHead, ResponseHead};

/// A request that has come and the answer it will get: over HTTP/1 ([`crate::relay1`]) or HTTP/2 ([`crate::relay2`]).
///
/// Called in this order: [`connect`](Exchange::connect) where the address matters, edit the request, [`send`](Exchange::send) it, edit the answer (or
/// [`refuse`](Exchange::refuse)), [`deliver`](Exchange::deliver) it.
pub(crate) trait Exchange: Send {
    /// The request's head.
    type Request: RequestHead;
    /// The response's head.
    type Response: ResponseHead;

    /// The request's head, to read and to edit before it is sent.
    fn request(&mut self) -> &mut Self::Request;

    /// Connects to where the request goes, unless that has been done, and says which address that is: what may be
    /// written into the request depends on it.
    fn connect(&mut self) -> impl Future<Output = Result<Option<IpAddr>, Failure>> + Send;

    /// Sends the request on, its body as it comes, and waits for the head of the final answer. Interim answers
    /// (1xx) go back to the caller on the way.
    fn send(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// After [`send`](Exchange::send) has failed: whether to send once more, on a fresh connection. The request then needs
    /// a fresh stamp, as somebody may have read the first.
    fn again(&mut self) -> bool {
        false
    }

    /// The answer's head, to read and to edit before it is delivered.
    fn response(&mut self) -> &mut Self::Response;

    /// Hands the answer to the caller, its body as it comes, until both bodies have ended.
    fn deliver(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Answers in the name of the sidecar, or ends the connection where no answer is right.
    fn refuse(&mut self, failure: &Failure) -> impl Future<Output = ()> + Send;

    /// Bytes of content that have passed so far: of the request, of the response.
    fn payloads(&self) -> (u64, u64);

    /// Who the caller is, where it came by TLS.
    fn caller(&self) -> Option<&Arc<Peer>>;

    /// Who answers, once there is a connection to it, where that is by TLS.
    fn callee(&self) -> Option<&Arc<Peer>>;
}

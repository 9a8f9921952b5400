//! What strangers may send, and what must happen: a clear answer or a closed connection, a counter by reason, no panic,
//! no other connection's trouble, and memory that stays bounded.

mod connect_timeout;
mod floods;
mod frames;
mod http2;
mod http2_endings;
mod requests;
mod responses;
mod retries;
mod slow_bodies;
mod stage;

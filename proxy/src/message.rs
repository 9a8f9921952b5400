//! What `carry` sees of a message, whichever version of HTTP it came in.
//!
//! HTTP/1 heads are [`crate::http1`]'s raw bytes edited in place, HTTP/2 heads the library's `http` types. Both
//! answer the few questions asked here, so the life of a request is written once.

use crate::http1;

/// The header fields of a message. Names are asked for in lower case.
pub(crate) trait Fields {
    /// The value of the first line with this name.
    fn first(&self, name: &'static str) -> Option<&[u8]>;

    /// Every line with this name, in order.
    fn each<'a>(&'a self, name: &'static str, visit: &mut dyn FnMut(&'a [u8]));

    /// Puts one line in the place of all lines with this name; `write` appends its value to the buffer.
    fn replace(&mut self, name: &'static str, write: &mut dyn FnMut(&mut Vec<u8>));

    /// Drops all lines with this name.
    fn remove(&mut self, name: &'static str);

    /// The value of a field that may stand only once.
    fn only(&self, name: &'static str) -> Only<'_> {
        let mut found = Only::Absent;
        self.each(name, &mut |value| {
            found = if matches!(found, Only::Absent) { Only::Value(value) } else { Only::Repeated }
        });
        found
    }
}

/// How often a field that may stand once did stand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Only<'a> {
    /// Not at all.
    Absent,
    /// Once, with this value.
    Value(&'a [u8]),
    /// More than once: nobody can say which one counts.
    Repeated,
}

/// The head of a request.
pub(crate) trait RequestHead: Fields {
    /// `GET`.
    fn method(&self) -> &str;

    /// The target's path, without query; `*` and a `CONNECT` authority as they are.
    fn path(&self) -> &[u8];

    /// `host:port` as the caller wrote it.
    fn authority(&self) -> Option<&[u8]>;

    /// OpenTelemetry's `network.protocol.version`.
    fn protocol(&self) -> &'static str;
}

/// The head of a response.
pub(crate) trait ResponseHead: Fields {
    /// `200`.
    fn status(&self) -> u16;
}

macro_rules! http1_fields {
    ($head:ty) => {
        impl Fields for $head {
            fn first(&self, name: &'static str) -> Option<&[u8]> {
                http1::Fields::first(self, name)
            }

            fn each<'a>(&'a self, name: &'static str, visit: &mut dyn FnMut(&'a [u8])) {
                self.all(name).for_each(visit);
            }

            fn replace(&mut self, name: &'static str, write: &mut dyn FnMut(&mut Vec<u8>)) {
                // The values are ours and never hold what cannot stand in a header.
                let stands = self.replace_with(name, |value| write(value));
                debug_assert!(stands, "{name}");
            }

            fn remove(&mut self, name: &'static str) {
                http1::Fields::remove(self, name);
            }
        }
    };
}
http1_fields!(http1::RequestHead);
http1_fields!(http1::ResponseHead);

impl RequestHead for http1::RequestHead {
    fn method(&self) -> &str {
        Self::method(self)
    }

    fn path(&self) -> &[u8] {
        let target = self.target();
        // Absolute form only reaches a server that is asked to be a proxy; the path starts after the authority.
        let target = match target.iter().position(|&byte| byte == b':') {
            Some(colon) if target.get(colon..colon + 3) == Some(b"://") => {
                let rest = target.get(colon + 3..).unwrap_or_default();
                rest.iter().position(|&byte| byte == b'/').and_then(|slash| rest.get(slash..)).unwrap_or(b"/")
            }
            _ => target,
        };
        target.split(|byte| matches!(byte, b'?' | b'#')).next().unwrap_or_default()
    }

    fn authority(&self) -> Option<&[u8]> {
        self.host()
    }

    fn protocol(&self) -> &'static str {
        match self.version() {
            http1::Version::Http10 => "1.0",
            http1::Version::Http11 => "1.1",
        }
    }
}

impl ResponseHead for http1::ResponseHead {
    fn status(&self) -> u16 {
        Self::status(self)
    }
}

macro_rules! http2_fields {
    ($head:ty) => {
        impl Fields for $head {
            fn first(&self, name: &'static str) -> Option<&[u8]> {
                self.headers.get(name).map(http::HeaderValue::as_bytes)
            }

            fn each<'a>(&'a self, name: &'static str, visit: &mut dyn FnMut(&'a [u8])) {
                self.headers.get_all(name).iter().for_each(|value| visit(value.as_bytes()));
            }

            fn replace(&mut self, name: &'static str, write: &mut dyn FnMut(&mut Vec<u8>)) {
                let mut value = Vec::new();
                write(&mut value);
                if let Ok(value) = http::HeaderValue::from_maybe_shared(bytes::Bytes::from(value)) {
                    self.headers.insert(http::HeaderName::from_static(name), value);
                }
            }

            fn remove(&mut self, name: &'static str) {
                self.headers.remove(name);
            }
        }
    };
}
http2_fields!(http::request::Parts);
http2_fields!(http::response::Parts);

impl RequestHead for http::request::Parts {
    fn method(&self) -> &str {
        self.method.as_str()
    }

    fn path(&self) -> &[u8] {
        self.uri.path().as_bytes()
    }

    fn authority(&self) -> Option<&[u8]> {
        self.uri.authority().map(|authority| authority.as_str().as_bytes()).or_else(|| self.first("host"))
    }

    fn protocol(&self) -> &'static str {
        "2"
    }
}

impl ResponseHead for http::response::Parts {
    fn status(&self) -> u16 {
        self.status.as_u16()
    }
}

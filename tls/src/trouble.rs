//! Why there is no TLS connection, in words that say what to look at.

use std::io;
use std::time::Duration;

use tokio_rustls::rustls::{CertificateError, Error};

/// What went wrong in a handshake, or what the other side said of ours after it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// The chain ends at somebody who is not trusted.
    #[error("its certificate is signed by an issuer that is not trusted here; check the CA bundle")]
    UnknownIssuer,
    /// The certificate's time is over.
    #[error("its certificate has expired{}; renew it, or check this host's clock", ago(.0))]
    Expired(Option<Duration>),
    /// The certificate's time has not begun.
    #[error("its certificate is not valid yet; check this host's clock")]
    NotYetValid,
    /// The certificate is somebody else's.
    #[error("its certificate is not for this name{}; connect by a name that it holds, or have it issued for this one", held(.0))]
    NameMismatch(Vec<String>),
    /// The certificate is for another purpose, cannot be read or is not signed as it should be.
    #[error("its certificate cannot be accepted: {0}")]
    BadCertificate(String),
    /// There is no certificate where one is asked for.
    #[error("it showed no certificate")]
    NoCertificate,
    /// The other side does not accept our certificate, or misses one.
    #[error(
        "it does not accept the certificate that was shown, or wants one ({0}); check the client certificate and the CA \
         bundle on the other side"
    )]
    ClientCertificate(String),
    /// No common version or cipher suite.
    #[error("no version or cipher suite of TLS in common ({0}); 1.2 and 1.3 are spoken here")]
    Incompatible(String),
    /// No common protocol inside.
    #[error("it does not speak {0} over TLS (ALPN)")]
    Alpn(&'static str),
    /// What came is not TLS.
    #[error("what answers there does not speak TLS; check the port")]
    NotTls,
    /// The connection ended in the middle.
    #[error("the connection ended in the middle of the handshake: {0}")]
    Broken(String),
    /// Our own files.
    #[error("{0}")]
    Files(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// One word for headers, spans and counters.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownIssuer => "tls_unknown_issuer",
            Self::Expired(_) => "tls_expired",
            Self::NotYetValid => "tls_not_yet_valid",
            Self::NameMismatch(_) => "tls_name_mismatch",
            Self::BadCertificate(_) => "tls_bad_certificate",
            Self::NoCertificate => "tls_no_certificate",
            Self::ClientCertificate(_) => "tls_client_certificate",
            Self::Incompatible(_) => "tls_incompatible",
            Self::Alpn(_) => "tls_alpn",
            Self::NotTls => "tls_not_spoken",
            Self::Broken(_) => "tls_broken",
            Self::Files(_) => "tls_files",
            Self::Other(_) => "tls_handshake",
        }
    }

    /// What a failed read or write says about TLS, if it does: with TLS 1.3 a server tells that it does not accept a
    /// client's certificate only after the client has begun to talk.
    pub fn in_error(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<Error>() {
            Some(error) => Some(Self::of(error)),
            // The HTTP/2 library keeps only the text of an error.
            None => error.to_string().strip_prefix(ALERT).map(Self::of_alert),
        }
    }

    /// Why a handshake failed.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        Self::in_error(error).unwrap_or_else(|| Self::Broken(error.to_string()))
    }

    fn of(error: &Error) -> Self {
        match error {
            Error::InvalidCertificate(error) => Self::of_certificate(error),
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::AlertReceived(alert) => Self::of_alert(&format!("{alert:?}")),
            Error::PeerIncompatible(why) => Self::Incompatible(format!("{why:?}")),
            Error::NoApplicationProtocol => Self::Alpn("any protocol that is offered"),
            Error::InvalidMessage(_) => Self::NotTls,
            error => Self::Other(error.to_string()),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired => Self::Expired(None),
            CertificateError::ExpiredContext { time, not_after } => {
                Self::Expired(Some(Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()))))
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Self::NotYetValid,
            CertificateError::NotValidForName => Self::NameMismatch(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                // They come as `DnsName("payment")`.
                let name = |shown: &String| shown.split('"').nth(1).unwrap_or(shown).to_owned();
                Self::NameMismatch(presented.iter().map(name).collect())
            }
            error => Self::BadCertificate(error.to_string()),
        }
    }

    fn of_alert(alert: &str) -> Self {
        let told = || format!("alert {alert}");
        match alert {
            "BadCertificate"
            | "UnsupportedCertificate"
            | "CertificateRevoked"
            | "CertificateExpired"
            | "CertificateUnknown"
            | "UnknownCA"
            | "AccessDenied"
            | "CertificateRequired" => Self::ClientCertificate(told()),
            "ProtocolVersion" | "InsufficientSecurity" => Self::Incompatible(told()),
            "NoApplicationProtocol" => Self::Alpn("the protocol that is offered"),
            "UnrecognisedName" => Self::NameMismatch(Vec::new()),
            _ => Self::Other(format!("the other side ended the handshake: {}", told())),
        }
    }
}

/// What rustls puts before an alert's name.
const ALERT: &str = "received fatal alert: ";

fn ago(since: &Option<Duration>) -> String {
    match since.map(|since| since.as_secs()) {
        None => String::new(),
        Some(seconds @ 0..7200) => format!(" {} minutes ago", seconds / 60),
        Some(seconds @ 7200..172_800) => format!(" {} hours ago", seconds / 3600),
        Some(seconds) => format!(" {} days ago", seconds / 86_400),
    }
}

/// The names in a certificate, as many as a line holds.
fn held(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    format!(", only for {}{}", shown.join(", "), if names.len() > 5 { " …" } else { "" })
}

//! Who the other side of a connection is.

use std::sync::Arc;

use tokio_rustls::rustls::{CommonState, ProtocolVersion};
use webpki::EndEntityCert;

/// Names of one certificate that are kept: those of a service are few, and a web host's hundreds help nobody.
const NAMES_MAX: usize = 8;

/// What a handshake told about the connection and its other side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its certificate's subject alternative names: URIs first (SPIFFE's identities), then DNS names, eight at most.
    /// Empty where it showed no certificate. Shared by all that keep who it was.
    pub names: Arc<[String]>,
    /// Whether it showed a certificate.
    pub certificate: bool,
    /// The version of TLS: `1.2` or `1.3`.
    pub version: &'static str,
    /// The name by which a client asked for us (SNI).
    pub server_name: Option<String>,
}

impl Peer {
    pub(crate) fn of(connection: &CommonState, server_name: Option<&str>) -> Self {
        let shown = connection.peer_certificates().and_then(|chain| chain.first());
        let names = shown.and_then(|shown| {
            let certificate = EndEntityCert::try_from(shown).ok()?;
            let all = certificate.valid_uri_names().chain(certificate.valid_dns_names());
            Some(all.take(NAMES_MAX).map(str::to_owned).collect())
        });
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "1.2",
            _ => "1.3",
        };
        Self {
            names: names.unwrap_or_default(),
            certificate: shown.is_some(),
            version,
            server_name: server_name.map(str::to_owned),
        }
    }
}

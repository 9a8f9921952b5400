//! The side that connects.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio_rustls::{TlsConnector, TlsStream, rustls};

use crate::files::{self, LoadError};
use crate::peer::Peer;
use crate::provider;
use crate::reload::{Reloading, Source};
use crate::trouble::Trouble;

/// Connections to others, by what these files hold.
pub type Client = Reloading<ClientFiles>;

/// Whom a client trusts, and what it shows of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientFiles {
    /// Who signs the certificates that are trusted; `None` for those that the system trusts.
    pub ca: Option<PathBuf>,
    /// Our own certificate with its chain, where the other side wants one.
    pub certificate: Option<PathBuf>,
    /// Its key; `None` where it is in the same file.
    pub key: Option<PathBuf>,
    /// Takes any certificate for anybody's. Whoever sets it says so in the log.
    pub insecure_skip_verify: bool,
}

/// What is offered by ALPN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// Nothing: what is spoken is not known.
    Any,
    /// `http/1.1`.
    Http1,
    /// `h2`, which the other side must then choose.
    Http2,
}

/// Ready for each kind of connection.
#[derive(Debug)]
pub struct ClientConfigs {
    any: Arc<ClientConfig>,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
}

impl Source for ClientFiles {
    type Built = ClientConfigs;

    fn paths(&self) -> Vec<&Path> {
        [&self.ca, &self.certificate, &self.key].into_iter().filter_map(Option::as_deref).collect()
    }

    fn build(&self) -> Result<ClientConfigs, LoadError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has what TLS 1.2 and 1.3 need");
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        } else {
            builder.with_root_certificates(files::roots(self.ca.as_deref())?)
        };
        let config = match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let key = self.key.as_ref().unwrap_or(certificate);
                builder
                    .with_client_auth_cert(files::own_chain(certificate)?, files::key(key)?)
                    .map_err(|error| LoadError::Pair { certificate: certificate.clone(), key: key.clone(), error })?
            }
        };
        let offering = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(ClientConfigs { http1: offering(b"http/1.1"), http2: offering(b"h2"), any: Arc::new(config) })
    }
}

impl Reloading<ClientFiles> {
    /// Speaks TLS over a connection to `host`, a name or an IP address, which the other side's certificate must be for.
    pub async fn connect<IO>(&self, alpn: Alpn, host: &str, stream: IO) -> Result<(TlsStream<IO>, Peer), Trouble>
    where
        IO: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Trouble::Other(format!("{host:?} is not a name that a certificate can be for")))?;
        let configs = self.current().map_err(|error| Trouble::Files(error.to_string()))?;
        let config = match alpn {
            Alpn::Any => &configs.any,
            Alpn::Http1 => &configs.http1,
            Alpn::Http2 => &configs.http2,
        };
        let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
        let stream = stream.map_err(|error| match (Trouble::of_handshake(&error), alpn) {
            (Trouble::Alpn(_), Alpn::Http1) => Trouble::Alpn("HTTP/1.1"),
            (Trouble::Alpn(_), Alpn::Http2) => Trouble::Alpn("HTTP/2"),
            (trouble, _) => trouble,
        })?;
        let (_, connection) = stream.get_ref();
        // A server that knows nothing of ALPN leaves the choice open: then it is HTTP/1.1, as on every port 443.
        if alpn == Alpn::Http2 && connection.alpn_protocol() != Some(b"h2") {
            return Err(Trouble::Alpn("HTTP/2"));
        }
        let peer = Peer::of(connection, None);
        Ok((TlsStream::Client(stream), peer))
    }
}

/// Accepts every certificate; that the other side holds its key is still checked.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

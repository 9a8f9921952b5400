//! Certificates and keys, read from PEM files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::{self, InconsistentKeys, RootCertStore};
use webpki::{EndEntityCert, KeyUsage};

/// Why files cannot be used; each says what to look at.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Not there, or not for us.
    #[error("cannot read {}: {error}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// Something else than PEM, or broken.
    #[error("{} is not a PEM file ({error:?}); it begins with -----BEGIN …-----", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: pem::Error,
    },
    /// No certificate in it.
    #[error("{} holds no certificate (-----BEGIN CERTIFICATE-----)", .0.display())]
    NoCertificate(PathBuf),
    /// No key in it.
    #[error("{} holds no private key, or one with a password; write it as PEM without one", .0.display())]
    NoKey(PathBuf),
    /// A certificate that is none.
    #[error("{} holds a certificate that cannot be used: {error}", path.display())]
    Certificate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// The key is another certificate's, or of a kind that is not supported.
    #[error("the certificate in {} and the key in {} cannot be used together: {}", certificate.display(), key.display(), misfit(error))]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        error: rustls::Error,
    },
    /// Nobody is trusted.
    #[error(
        "this system has no root certificates{}; install them (ca-certificates), name them with SSL_CERT_FILE, or give \
         a CA bundle",
        .0.as_ref().map(|why| format!(" ({why})")).unwrap_or_default()
    )]
    NoRoots(Option<String>),
    /// A bundle that no verifier can be made of.
    #[error("{} cannot be used to verify certificates: {why}", path.display())]
    Verifier {
        /// The bundle.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl LoadError {
    /// The file to look at first, where it is about one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::Pem { path, .. } | Self::Certificate { path, .. } => Some(path),
            Self::Verifier { path, .. } | Self::NoCertificate(path) | Self::NoKey(path) => Some(path),
            Self::Pair { key, .. } => Some(key),
            Self::NoRoots(_) => None,
        }
    }
}

/// The chain to show to others. One that they will refuse for its age is used all the same, as this host's clock may be
/// the wrong one, but not silently: the other side's log is rarely at hand.
pub(crate) fn own_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let chain = certificates(path)?;
    if let Some(problem) = chain.first().and_then(|first| untimely(first, UnixTime::now())) {
        tracing::warn!(file = %path.display(), "this certificate {problem}: others will refuse it; renew it, or check this host's clock");
    }
    Ok(chain)
}

/// What is wrong with a certificate's time, if anything is.
fn untimely(certificate: &CertificateDer<'_>, now: UnixTime) -> Option<&'static str> {
    let certificate = EndEntityCert::try_from(certificate).ok()?;
    // Its time is looked at before its issuer, whom nobody needs to know here.
    match certificate.verify_for_usage(&[], &[], &[], now, KeyUsage::server_auth(), None, None).err()? {
        // The second ends before it begins.
        webpki::Error::CertExpired { .. } | webpki::Error::InvalidCertValidity => Some("has expired"),
        webpki::Error::CertNotValidYet { .. } => Some("is not valid yet"),
        _ => None,
    }
}

/// Why a certificate and a key do not go together.
fn misfit(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key is another certificate's; give the one that this certificate was issued for".to_owned()
        }
        error => error.to_string(),
    }
}

/// The certificates in a file, at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|error| LoadError::Pem { path: path.to_owned(), error })?;
    if found.is_empty() { Err(LoadError::NoCertificate(path.to_owned())) } else { Ok(found) }
}

/// The first private key in a file.
pub(crate) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadError> {
    let bytes = read(path)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => LoadError::NoKey(path.to_owned()),
        error => LoadError::Pem { path: path.to_owned(), error },
    })
}

/// Those who sign the certificates that are trusted: a bundle's, or else the system's.
pub(crate) fn roots(bundle: Option<&Path>) -> Result<Arc<RootCertStore>, LoadError> {
    let mut roots = RootCertStore::empty();
    let Some(path) = bundle else {
        let found = rustls_native_certs::load_native_certs();
        let why = found.errors.first().map(ToString::to_string);
        // Old roots that nobody can use any more lie in every system's store.
        roots.add_parsable_certificates(found.certs);
        return if roots.is_empty() { Err(LoadError::NoRoots(why)) } else { Ok(Arc::new(roots)) };
    };
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| LoadError::Certificate { path: path.to_owned(), error })?;
    }
    Ok(Arc::new(roots))
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|error| LoadError::Read { path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Authority;

    #[test]
    fn a_certificate_that_others_refuse_for_its_age_is_told() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new("ours");
        for (name, issued, told) in [
            ("good", authority.issue(&["payment"]), None),
            ("old", authority.issue_expired(&["payment"]), Some("has expired")),
            ("early", authority.issue_early(&["payment"]), Some("is not valid yet")),
        ] {
            let (certificate, _) = issued.write(folder.path(), name);
            let chain = own_chain(&certificate).expect("it is used all the same");
            assert_eq!(chain.first().and_then(|first| untimely(first, UnixTime::now())), told, "{name}");
        }
    }
}

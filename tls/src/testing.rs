//! Certificates for tests.
#![allow(clippy::missing_panics_doc, reason = "in a test a panic is the answer")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// An authority that exists for one test.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

const DAY: Duration = Duration::from_secs(86_400);

impl Authority {
    /// A new one, whom nobody else trusts.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().expect("there is randomness");
        let pem = params.self_signed(&key).expect("the parameters are sound").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, as PEM: what others trust.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server or a client, valid today. Names with `://` are URIs, the others DNS names or
    /// addresses.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_for(names, SystemTime::now() - DAY, SystemTime::now() + 30 * DAY)
    }

    /// One whose time is over.
    pub fn issue_expired(&self, names: &[&str]) -> Issued {
        self.issue_for(names, SystemTime::now() - 30 * DAY, SystemTime::now() - 3 * DAY)
    }

    /// One whose time has not begun.
    pub fn issue_early(&self, names: &[&str]) -> Issued {
        self.issue_for(names, SystemTime::now() + 3 * DAY, SystemTime::now() + 30 * DAY)
    }

    fn issue_for(&self, names: &[&str], from: SystemTime, until: SystemTime) -> Issued {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|name| alternative_name(name)).collect();
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nobody"));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.not_before = from.into();
        params.not_after = until.into();
        let key = KeyPair::generate().expect("there is randomness");
        let certificate = params.signed_by(&key, &self.issuer).expect("the parameters are sound").pem();
        Issued { certificate, key: key.serialize_pem() }
    }

    /// Writes its certificate into a folder, as `NAME.pem`.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        write(folder, name, &self.pem)
    }
}

impl Issued {
    /// Writes both into a folder, as `NAME.crt` and `NAME.key`.
    pub fn write(&self, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        (write(folder, &format!("{name}.crt"), &self.certificate), write(folder, &format!("{name}.key"), &self.key))
    }
}

fn alternative_name(name: &str) -> SanType {
    let text = || name.to_owned().try_into().expect("the name is ASCII");
    match name.parse() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) if name.contains("://") => SanType::URI(text()),
        Err(_) => SanType::DnsName(text()),
    }
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let name = if name.contains('.') { name.to_owned() } else { format!("{name}.pem") };
    let path = folder.join(name);
    // Replaced as a whole, as the tools that renew certificates do it.
    let fresh = folder.join(format!(".{}", path.file_name().and_then(|name| name.to_str()).unwrap_or("fresh")));
    std::fs::write(&fresh, text).expect("the folder can be written");
    std::fs::rename(&fresh, &path).expect("the folder can be written");
    path
}

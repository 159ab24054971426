//! A certificate authority of one run: its key is in memory alone, and the child alone trusts it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::PrivateKeyDer;

/// Servers whose certificates are kept; a tool asks a handful.
const KEPT: usize = 64;

/// Makes a certificate for whatever server the child asks for.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    /// One key for every server's certificate: making one for each would protect nothing more.
    key: KeyPair,
    made: Mutex<HashMap<String, Arc<ServerConfig>>>,
}

impl Authority {
    pub(super) fn new() -> Result<Self, String> {
        let failed = |error: rcgen::Error| error.to_string();
        let pair = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed);
        let mut parameters = valid_now(CertificateParams::default());
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.distinguished_name = named("Waxseal, for one run of one program");
        let (issuing, key) = (pair()?, pair()?);
        let certificate = parameters.self_signed(&issuing).map_err(failed)?;
        let pem = pem(certificate.der());
        let issuer = Issuer::new(parameters, issuing);
        Ok(Self { issuer, pem, key, made: Mutex::default() })
    }

    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// How to be `host`, a name or an address.
    pub(super) fn server(&self, host: &str) -> Result<Arc<ServerConfig>, String> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = made.get(host) {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(self.make(host)?);
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(host.to_owned(), Arc::clone(&config));
        Ok(config)
    }

    fn make(&self, host: &str) -> Result<ServerConfig, String> {
        let failed = |error: rcgen::Error| error.to_string();
        let mut parameters = valid_now(CertificateParams::new([host.to_owned()]).map_err(failed)?);
        parameters.distinguished_name = named(host);
        parameters.use_authority_key_identifier_extension = true;
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.signed_by(&self.key, &self.issuer).map_err(failed)?;
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let failed = |error: rustls::Error| error.to_string();
        // HTTP/1.1 alone is offered: a status line of HTTP/2 has no room for a reason.
        ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .map_err(failed)
    }
}

/// A certificate as text (RFC 7468).
fn pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// Without an end that a wrong clock would meet: the authority ends with the run.
fn valid_now(mut parameters: CertificateParams) -> CertificateParams {
    parameters.not_before = date_time_ymd(2000, 1, 1);
    parameters.not_after = date_time_ymd(2100, 1, 1);
    parameters
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    // Longer names are against X.520; the name that counts is in the extension.
    distinguished.push(DnType::CommonName, name.chars().take(60).collect::<String>());
    distinguished
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority(…)")
    }
}

//! Certificates for a server and its clients.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

/// An authority of its own, and what it has signed. All in PEM.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate: what a client has to trust.
    pub authority: String,
    /// The certificate of a server at `127.0.0.1` and `localhost`.
    pub server: String,
    /// The key to it.
    pub server_key: String,
    /// The certificate of a client.
    pub client: String,
    /// The key to it.
    pub client_key: String,
}

impl Certificates {
    /// Makes all of them anew.
    pub fn generate() -> Self {
        let mut params = named("ssekit test authority", &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key();
        let authority = params.self_signed(&key).expect("the authority signs itself").pem();
        let issuer = Issuer::new(params, key);
        let signed = |name, names: &[&str], purpose| {
            let mut params = named(name, names);
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
            params.extended_key_usages = vec![purpose];
            params.use_authority_key_identifier_extension = true;
            let key = self::key();
            (params.signed_by(&key, &issuer).expect("the authority signs").pem(), key.serialize_pem())
        };
        let names = ["localhost", "127.0.0.1"];
        let (server, server_key) = signed("ssekit test server", &names, ExtendedKeyUsagePurpose::ServerAuth);
        let (client, client_key) = signed("ssekit test client", &[], ExtendedKeyUsagePurpose::ClientAuth);
        Self { authority, server, server_key, client, client_key }
    }
}

fn named(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("the names are names");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

fn key() -> KeyPair {
    KeyPair::generate().expect("there is randomness")
}

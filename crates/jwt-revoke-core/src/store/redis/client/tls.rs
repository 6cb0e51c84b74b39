//! TLS to the server, by rustls.

use std::sync::Arc;

use fred::{
    rustls::{
        ClientConfig, RootCertStore,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, pem::PemObject as _},
    },
    rustls_native_certs::load_native_certs,
    types::config::{TlsConfig, TlsConnector, TlsHostMapping},
};

use crate::store::{BoxError, StoreError, redis::address::Address};

/// How connections are encrypted, and whom they trust.
#[derive(Clone)]
pub(in crate::store::redis) struct Tls(pub(super) TlsConfig);

/// A configuration that trusts `ca_certificates`, or the system's authorities.
///
/// The provider is named: rustls' process-wide default panics when two are built in.
pub(in crate::store::redis) fn config(
    address: &Address,
    ca_certificates: Option<&[u8]>,
) -> Result<Tls, StoreError> {
    let refuse = |reason: &str, source: Option<BoxError>| StoreError::Open {
        store: address.name.clone(),
        reason: reason.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    match ca_certificates {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let added = certificate
                    .map_err(BoxError::from)
                    .and_then(|certificate| roots.add(certificate).map_err(BoxError::from));
                added.map_err(|error| refuse("a CA certificate is malformed", Some(error)))?;
            }
        }
        None => {
            roots.add_parsable_certificates(load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(refuse(
            "there is no CA certificate to trust: install the system's, or name one",
            None,
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse("TLS cannot be set up", Some(error.into())))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Tls(TlsConfig {
        connector: TlsConnector::from(config),
        // Each connection is to one server, whose name it is given.
        hostnames: TlsHostMapping::None,
    }))
}

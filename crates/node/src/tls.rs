//! TLS for `wss://`: the system's certificates, checked by rustls.

use crate::error::NodeError;
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;

/// What a client trusts: the certificate authorities of the system, or those in the file that `SSL_CERT_FILE` names.
pub(crate) fn client_config() -> Result<Arc<ClientConfig>, NodeError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
        return Err(NodeError::Unreachable(format!(
            "failed to read the certificate authorities of this system: {why}; install them (ca-certificates), or name \
             a file of them in SSL_CERT_FILE"
        )));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NodeError::Unreachable(format!("failed to set up TLS: {error}")))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

//! `rejoin sync` through TLS, with a certificate that only the file in SSL_CERT_FILE vouches for.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::{Server, make};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_speaks_wss_with_whoever_the_system_trusts_and_with_nobody_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = folder.path().join("app.db");
    make(&database, "INSERT INTO note VALUES (7, 'seven')");
    let server = Server::start(&folder.path().join("rooms"), &[]);
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let authority = folder.path().join("authority.pem");
    std::fs::write(&authority, signed.cert.pem()).expect("the certificate as a file");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der()));
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .expect("the key fits the certificate");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("wss://localhost:{}/app", listener.local_addr().expect("an address").port());
    let proxy = tokio::spawn(carry(listener, TlsAcceptor::from(Arc::new(config)), server.address.clone()));

    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let other_authority = folder.path().join("other.pem");
    std::fs::write(&other_authority, other.cert.pem()).expect("the certificate as a file");
    let refused = sync(&database, &url, &other_authority).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("SSL_CERT_FILE"), "{said}");
    assert!(!folder.path().join("rooms/app.db").exists(), "nothing was said to a server that is not trusted");

    let level = sync(&database, &url, &authority).await;
    assert!(level.status.success(), "{}", String::from_utf8_lossy(&level.stderr));
    let room = rejoin::Database::open(folder.path().join("rooms/app.db")).expect("the room opens");
    let id: i64 = room.connection().query_row("SELECT id FROM note", [], |row| row.get(0)).expect("the row is there");
    assert_eq!(id, 7);
    proxy.abort();
}

/// Takes TLS off every connection and passes it on.
async fn carry(listener: TcpListener, tls: TlsAcceptor, to: String) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, to) = (tls.clone(), to.clone());
        tokio::spawn(async move {
            let Ok(mut near) = tls.accept(stream).await else { return };
            let mut far = TcpStream::connect(to).await.expect("the server runs");
            // How a connection ends is for its two ends to judge.
            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
        });
    }
}

async fn sync(database: &Path, url: &str, authority: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
    command.arg("sync").arg(database).args([url, "--once"]).env("SSL_CERT_FILE", authority);
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("the program runs")
}

//! Ctrl-C.

use rejoin::Cancel;

/// Something that Ctrl-C (or a request to terminate) stops. The second Ctrl-C ends the program at once.
pub fn cancel_on_ctrl_c() -> Cancel {
    let cancel = Cancel::default();
    let cancelled = cancel.clone();
    // Without the thread Ctrl-C ends the program as it does by default, and SQLite rolls back at the next opening.
    let _ = std::thread::Builder::new().name("ctrl-c".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            asked_to_end().await;
            cancelled.cancel();
            asked_to_end().await;
            std::process::exit(1);
        });
    });
    cancel
}

/// Waits for Ctrl-C or, on Unix, for SIGTERM.
#[cfg(unix)]
pub async fn asked_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => {}
                _ = terminate.recv() => {}
            }
        }
        Err(_) => wait_for_ctrl_c().await,
    }
}

/// Waits for Ctrl-C.
#[cfg(not(unix))]
pub async fn asked_to_end() {
    wait_for_ctrl_c().await;
}

async fn wait_for_ctrl_c() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

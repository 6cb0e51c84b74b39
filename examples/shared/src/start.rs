//! From settings to sessions, and the end of a program.

use std::{error::Error, io::Write as _, net::SocketAddr, process::ExitCode};

use jwt_revoke_core::{
    Guard, Issuer, Report,
    session::Sessions,
    store::{AnyStore, EmbeddedStore},
};

use crate::{
    Settings,
    logging::log_to_stderr,
    ready::{Opened, open_or_soon, ready_or_soon},
    signing_key, try_it,
};

/// Runs a program to its end: logs to stderr as `RUST_LOG` says, and says there why it failed.
pub async fn run(program: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    log_to_stderr();
    match program.await {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!("{}", Report(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The sessions that the settings ask for, once their store answers. A store that cannot be written
/// for the moment is waited for while the program serves: it is not ready, and answers 503.
///
/// # Errors
///
/// When the key or the store cannot serve; the message says what to mend.
pub async fn sessions(settings: &Settings) -> Result<Sessions, Box<dyn Error>> {
    let key = signing_key(&settings.key, settings.algorithm)?;
    let (store, opened) = open(settings).await?;
    let issuer = Issuer::new(key, &*settings.issuer, "api")
        .with_lifetime(settings.access_lifetime)
        .with_leeway(settings.leeway);
    let guard = Guard::new(issuer.verifier(), store)
        .with_consistency(settings.consistency)
        .with_outage(settings.outage);
    if opened == Opened::Now {
        ready_or_soon(&guard).await?;
    }
    if settings.restored {
        guard.revoke_everything("restored from a backup").await?;
        tracing::warn!("all users log in again; unset JWT_REVOKE_RESTORED before the next start");
    }
    Ok(Sessions::new(&guard, issuer)
        .with_grace(settings.grace)
        .with_reuse(settings.reuse)
        .with_idle_lifetime(settings.refresh_lifetime))
}

async fn open(settings: &Settings) -> Result<(AnyStore, Opened), Box<dyn Error>> {
    if settings.restored && settings.store.starts_with("file:") {
        let restored = EmbeddedStore::builder().restored();
        let store = restored.open_address(&settings.store)?;
        return Ok((store.into(), Opened::Now));
    }
    Ok(open_or_soon(&settings.store).await?)
}

/// Says where the program listens, and what to try.
///
/// # Errors
///
/// When nobody can be told.
pub fn announce(addr: SocketAddr) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    writeln!(stdout, "listening on http://{addr}")?;
    writeln!(stdout, "{}", try_it(addr))
}

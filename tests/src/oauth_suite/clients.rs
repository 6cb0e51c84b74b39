//! Clients that know nothing of us.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command, time::timeout};

use super::fixture::Server;

/// For a whole run of a client on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Python: authlib over requests, and joserfc for the access tokens.
pub async fn authlib_is_content(server: &Server) {
    let python = "venv/bin/python";
    let script = include_str!("../../clients/authlib_client.py");
    drive(server, "authlib", python, &["-c", script]).await;
}

/// Node: oauth4webapi, which is strict about what the RFCs say.
pub async fn oauth4webapi_is_content(server: &Server) {
    let script = include_str!("../../clients/oauth4webapi_client.mjs");
    // A module from the command line finds others from the folder that node is started in.
    let arguments = ["--input-type=module", "--eval", script];
    drive(server, "oauth4webapi", "node", &arguments).await;
}

async fn drive(server: &Server, name: &str, program: &str, arguments: &[&str]) {
    if std::env::var("JWT_REVOKE_SKIP_CLIENTS").is_ok_and(|skip| skip == "1") {
        // Not `eprintln!`, which a test that passes shows nobody.
        let _ = writeln!(
            std::io::stderr(),
            "SKIPPED: {name} did not drive the OAuth routes (JWT_REVOKE_SKIP_CLIENTS=1)"
        );
        return;
    }
    let folder = folder();
    assert!(
        folder.join("installed").exists(),
        "{name} is not installed: run scripts/clients (it says what it needs), or set \
         JWT_REVOKE_SKIP_CLIENTS=1 to do without"
    );
    let program = match folder.join(program) {
        installed if installed.exists() => installed,
        _ => PathBuf::from(program),
    };
    let mut last = Vec::new();
    let mut tokens = Vec::new();
    for client in ["page", "api", "api"] {
        let pair = server.login("alice", client).await;
        tokens.push(pair.refresh_token().to_owned());
        last.push(pair);
    }
    let given = json!({
        "issuer": server.fixture.sessions.issuer().name(),
        "public": "page",
        "public_tokens": tokens[..1],
        "confidential": "api",
        "secret": server.fixture.secret,
        "confidential_tokens": tokens[1..],
    });
    run(&folder, &program, arguments, given.to_string())
        .await
        .unwrap_or_else(|complaint| panic!("{name} is not content: {complaint}"));
    // What it revoked is dead here, too.
    for pair in last {
        assert!(!server.opens(pair.access_token()).await);
    }
}

/// Runs a program with a text on its standard input. What it wrote is the error if it fails.
async fn run(
    folder: &Path,
    program: &Path,
    arguments: &[&str],
    input: String,
) -> Result<(), String> {
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", program.display()))?;
    let mut stdin = child.stdin.take().ok_or("it has no standard input")?;
    let fed = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = timeout(PATIENCE, child.wait_with_output())
        .await
        .map_err(|_| "it hangs".to_owned())?
        .map_err(|error| error.to_string())?;
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    // Not the status alone: a script that ends early has checked nothing.
    if output.status.success() && fed.is_ok() && said.trim_end().ends_with("content") {
        Ok(())
    } else {
        Err(format!("{}\n{said}{complained}", output.status))
    }
}

/// Where `scripts/clients` puts them: beside what cargo builds.
fn folder() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = workspace.join(target.unwrap_or_else(|| "target".into()));
    target.join("clients")
}

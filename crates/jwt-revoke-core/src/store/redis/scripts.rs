//! The scripts, and how one is run.

use std::sync::OnceLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// A Lua script, known to the server by the SHA-1 of its text.
pub(super) struct Script {
    text: &'static str,
    sha: OnceLock<String>,
}

impl Script {
    const fn new(text: &'static str) -> Self {
        Self {
            text,
            sha: OnceLock::new(),
        }
    }

    /// The text, for `EVAL`.
    pub(super) fn text(&self) -> &'static str {
        self.text
    }

    /// The name under which the server has it, for `EVALSHA`.
    pub(super) fn sha(&self) -> &str {
        self.sha.get_or_init(|| {
            digest(&SHA1_FOR_LEGACY_USE_ONLY, self.text.as_bytes())
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
    }
}

/// Makes sure that a shard is there, and tells how it is.
pub(super) static STATE: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/state.lua")
));

/// Writes entries.
pub(super) static REVOKE: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/revoke.lua")
));

/// Puts back entries.
pub(super) static HEAL: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/heal.lua")
));

/// Writes the key of another service.
pub(super) static LEGACY: Script = Script::new(include_str!("lua/legacy.lua"));

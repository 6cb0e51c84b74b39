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
    pub(super) fn sha(&'static self) -> &'static str {
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
    include_str!("lua/raise.lua"),
    include_str!("lua/state.lua")
));

/// Asks a primary that may be written. Redis 7 or later.
pub(super) static CHECK: Script = Script::new(include_str!("lua/check.lua"));

/// Writes entries.
pub(super) static REVOKE: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/revoke.lua")
));

/// Puts back entries.
pub(super) static HEAL: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/heal.lua")
));

/// Logs once more what entries say.
pub(super) static RELOG: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/relog.lua")
));

/// Writes the key of another service.
pub(super) static LEGACY: Script = Script::new(include_str!("lua/legacy.lua"));

/// Opens a session.
pub(super) static OPEN: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/index.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/ending.lua"),
    include_str!("lua/open.lua")
));

/// Exchanges a refresh token, or says what that would do.
pub(super) static ROTATE: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/index.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/rotate.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/ending.lua"),
    include_str!("lua/reuse.lua")
));

/// Ends a session.
pub(super) static END: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/ending.lua"),
    include_str!("lua/end.lua")
));

/// Ends all sessions of a user but one.
pub(super) static END_OTHERS: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/ending.lua"),
    include_str!("lua/end_others.lua")
));

/// Ends all sessions of a user.
pub(super) static END_ALL: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/raise.lua"),
    include_str!("lua/end_all.lua")
));

/// Lists the sessions of a user.
pub(super) static LIST: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/list.lua")
));

/// Marks that a user's privileges changed.
pub(super) static MARK: Script = Script::new(concat!(
    include_str!("lua/shard.lua"),
    include_str!("lua/session.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/known.lua"),
    include_str!("lua/mark.lua")
));

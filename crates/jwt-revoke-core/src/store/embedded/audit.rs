//! What people read: the store's keys are digests.

use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, defaults, store::Audit};

/// A revocation as people see it: when, what, why and by whom.
///
/// Each text is cut off after [`defaults::AUDIT_TEXT_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditEntry {
    /// When it was written, on the store's clock.
    pub at: Timestamp,
    /// The name of the dimension.
    pub dimension: Box<str>,
    /// At which issuer.
    pub issuer: Box<str>,
    /// Which value.
    pub value: Box<str>,
    /// Why, in the caller's words.
    pub cause: Option<Box<str>>,
    /// Who asked for it.
    pub actor: Option<Box<str>>,
}

impl AuditEntry {
    pub(super) fn new(at: Timestamp, audit: &Audit) -> Self {
        Self {
            at,
            dimension: cut(audit.dimension.name()),
            issuer: cut(&audit.issuer),
            value: cut(&audit.value),
            cause: audit.cause.as_deref().map(cut),
            actor: audit.actor.as_deref().map(cut),
        }
    }

    /// The entry as a JSON object.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let row = Row {
            at: self.at.as_millis(),
            dimension: self.dimension.clone(),
            issuer: self.issuer.clone(),
            value: self.value.clone(),
            cause: self.cause.clone(),
            actor: self.actor.clone(),
        };
        serde_json::to_vec(&row).unwrap_or_default()
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let row: Row = serde_json::from_slice(bytes)?;
        Ok(Self {
            at: Timestamp::from_millis(row.at),
            dimension: row.dimension,
            issuer: row.issuer,
            value: row.value,
            cause: row.cause,
            actor: row.actor,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Row {
    at: u64,
    dimension: Box<str>,
    issuer: Box<str>,
    value: Box<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Box<str>>,
}

fn cut(text: &str) -> Box<str> {
    let longest = defaults::AUDIT_TEXT_BYTES.min(text.len());
    let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].into()
}

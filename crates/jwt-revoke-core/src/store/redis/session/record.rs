//! A session's record as `lua/session.lua` has it: a few short fields, which the server packs.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    revocation::Digest,
    session::{AttemptId, Identity, Record, SPENDS},
    store::redis::client::Reply,
};

/// The fields of a new record, each before its value, without the device's label.
pub(super) fn write(record: &Record) -> Vec<Vec<u8>> {
    let current = &record.current;
    let lives = [
        record.opened_at,
        record.last_used_at,
        record.idle_deadline,
        record.absolute_deadline,
    ];
    let issued = [
        current.issued_at,
        current.refresh_expires_at,
        current.access_expires_at,
    ];
    let last = exact(record.last_used_at);
    let ages = record.spent_at.map(|at| last.saturating_sub(exact(at)));
    let privileges = exact(record.privileges_changed_at);
    let recovered = u8::from(record.recovered);
    let mut fields = vec![
        ("t", join(lives.map(exact)).into_bytes()),
        (
            "g",
            format!("{} {}", current.generation, join(issued.map(exact))).into_bytes(),
        ),
        ("s", join(ages).into_bytes()),
        ("p", format!("{privileges} {recovered}").into_bytes()),
        ("r", pack(current.refresh.as_str())),
        ("a", pack(current.access.as_str())),
        ("u", pack(record.subject.as_str())),
        ("c", record.client.as_str().into()),
        ("e", record.entry.to_string().into_bytes()),
    ];
    if let Some(previous) = &record.previous {
        fields.push(("v", pack(previous.as_str())));
    }
    if let Some(attempt) = record.attempt {
        fields.push(("m", attempt_bytes(attempt)));
    }
    fields
        .into_iter()
        .flat_map(|(name, value)| [name.as_bytes().to_vec(), value])
        .collect()
}

/// Reads the fields in the order of `FIELDS` in `session.lua`; `None` if one is not as we write it.
pub(super) fn read(fields: &[Reply]) -> Option<Record> {
    let [
        lives,
        pair,
        spends,
        privileges,
        refresh,
        access,
        previous,
        attempt,
        subject,
        client,
        entry,
        device,
        rest,
    ] = fields
    else {
        return None;
    };
    let [opened_at, last_used_at, idle_deadline, absolute_deadline] = instants(lives.text()?)?;
    let ages: [u64; SPENDS] = numbers(spends.text()?)?;
    let [privileges_changed_at, recovered] = numbers(privileges.text()?)?;
    let mut label = Vec::new();
    for part in [device, rest] {
        if let Reply::Text(bytes) = part {
            label.extend_from_slice(bytes);
        }
    }
    Some(Record {
        subject: unpack(bytes(subject)?)?.into(),
        entry: digest(entry.text()?)?,
        client: client.text()?.into(),
        device: match device {
            Reply::Nil => None,
            _ => Some(String::from_utf8(label).ok()?.into()),
        },
        opened_at,
        last_used_at,
        idle_deadline,
        absolute_deadline,
        current: read_identity(pair, refresh, access)?,
        previous: match previous {
            Reply::Nil => None,
            previous => Some(unpack(bytes(previous)?)?.into()),
        },
        spent_at: ages
            .map(|age| Timestamp::from_millis(last_used_at.as_millis().saturating_sub(age))),
        attempt: match attempt {
            Reply::Nil => None,
            attempt => {
                let bits = u128::from_be_bytes(bytes(attempt)?.try_into().ok()?);
                Some(AttemptId::from_bits(bits))
            }
        },
        recovered: recovered == 1,
        privileges_changed_at: Timestamp::from_millis(privileges_changed_at),
    })
}

/// Reads the fields `g`, `r` and `a`.
pub(super) fn read_identity(pair: &Reply, refresh: &Reply, access: &Reply) -> Option<Identity> {
    let [generation, issued_at, refresh_end, access_end] = numbers(pair.text()?)?;
    Some(Identity {
        generation,
        refresh: unpack(bytes(refresh)?)?.into(),
        access: unpack(bytes(access)?)?.into(),
        issued_at: Timestamp::from_millis(issued_at),
        refresh_expires_at: Timestamp::from_millis(refresh_end),
        access_expires_at: Timestamp::from_millis(access_end),
    })
}

/// Reads 32 hexadecimal digits.
pub(in crate::store::redis) fn digest(hex: &str) -> Option<Digest> {
    let bits = u128::from_str_radix(hex, 16).ok()?;
    (hex.len() == 32).then(|| Digest::from_bytes(bits.to_be_bytes()))
}

/// An instant in milliseconds. What Lua cannot count exactly lies in the year 287396, and may as well
/// be the last that it can.
pub(super) fn exact(instant: Timestamp) -> u64 {
    instant.as_millis().min(MOST)
}

/// The largest number that Lua, and every number below it, holds exactly.
pub(super) const MOST: u64 = (1 << 53) - 1;

/// An identifier in few bytes: a UUID as we write them is 16, behind one that tells it from a text. Two
/// identifiers are equal if and only if their bytes are.
pub(super) fn pack(id: &str) -> Vec<u8> {
    let mut canonical = Uuid::encode_buffer();
    match Uuid::try_parse(id) {
        Ok(uuid) if uuid.hyphenated().encode_lower(&mut canonical) == id => {
            [&[UUID], uuid.as_bytes().as_slice()].concat()
        }
        _ => [&[TEXT], id.as_bytes()].concat(),
    }
}

fn unpack(bytes: &[u8]) -> Option<String> {
    match bytes.split_first()? {
        (&UUID, uuid) => Some(Uuid::from_slice(uuid).ok()?.hyphenated().to_string()),
        (&TEXT, text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

/// An attempt as a record names it.
pub(super) fn attempt_bytes(attempt: AttemptId) -> Vec<u8> {
    attempt.bits().to_be_bytes().to_vec()
}

fn join<const N: usize>(numbers: [u64; N]) -> String {
    numbers.map(|number| number.to_string()).join(" ")
}

fn instants<const N: usize>(text: &str) -> Option<[Timestamp; N]> {
    numbers(text).map(|numbers| numbers.map(Timestamp::from_millis))
}

fn numbers<const N: usize>(text: &str) -> Option<[u64; N]> {
    let numbers: Option<Vec<_>> = text.split(' ').map(|word| word.parse().ok()).collect();
    numbers?.try_into().ok()
}

fn bytes(field: &Reply) -> Option<&[u8]> {
    match field {
        Reply::Text(bytes) => Some(bytes),
        _ => None,
    }
}

const TEXT: u8 = b'=';
const UUID: u8 = b'#';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t11_identifiers_of_any_form_come_back_and_stay_apart() {
        let uuid = "0190b0a4-7e6f-7000-8000-0123456789ab";
        let upper = uuid.to_uppercase();
        let simple = uuid.replace('-', "");
        let ids = [
            uuid,
            &upper,
            &simple,
            "",
            "=",
            "#",
            "#0123456789abcdef",
            "\r\n\0",
        ];
        for id in ids {
            assert_eq!(unpack(&pack(id)).as_deref(), Some(id));
        }
        let packed: std::collections::HashSet<_> = ids.iter().map(|id| pack(id)).collect();
        assert_eq!(packed.len(), ids.len());
        assert_eq!(pack(uuid).len(), 17);
        assert_eq!(unpack(b"#short"), None);
        assert_eq!(unpack(b""), None);
    }
}

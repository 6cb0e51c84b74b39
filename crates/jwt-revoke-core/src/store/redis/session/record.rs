//! A session's record as `lua/record.lua` has it: one string.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    revocation::Digest,
    session::{AttemptId, Identity, Record},
    store::redis::session::packed::{MOST, Packing, Unpacking},
};

/// A new record as the server keeps it.
pub(super) fn write(record: &Record) -> Packing {
    let current = &record.current;
    let mut packing = Packing::new();
    packing.byte(KIND).byte(record.recovered.into());
    for instant in [
        record.opened_at,
        record.last_used_at,
        record.idle_deadline,
        record.absolute_deadline,
        record.privileges_changed_at,
    ] {
        packing.instant(instant);
    }
    for instant in record.spent_at {
        packing.instant(instant);
    }
    let mut whose = Packing::new();
    whose
        .text(&record.entry.hex())
        .text(record.client.as_str().as_bytes());
    identifier(&mut whose, record.subject.as_str());
    whose.text(record.device.as_deref().unwrap_or_default().as_bytes());
    packing
        .number(current.generation)
        .instant(current.issued_at)
        .instant(current.refresh_expires_at)
        .instant(current.access_expires_at)
        // Until when the index lives is known to the server alone.
        .number(0)
        .bytes(&record.attempt.map_or(NO_ATTEMPT, attempt_bytes))
        .text(whose.as_ref());
    identifier(&mut packing, current.refresh.as_str());
    identifier(&mut packing, current.access.as_str());
    match &record.previous {
        Some(previous) => identifier(&mut packing, previous.as_str()),
        None => packing.text(b""),
    };
    packing
}

/// Reads a record; `None` if it is not as we write it.
pub(super) fn read(bytes: &[u8]) -> Option<Record> {
    let mut packed = Unpacking::new(bytes);
    if packed.byte()? != KIND {
        return None;
    }
    let recovered = packed.byte()? == 1;
    let opened_at = packed.instant()?;
    let last_used_at = packed.instant()?;
    let idle_deadline = packed.instant()?;
    let absolute_deadline = packed.instant()?;
    let privileges_changed_at = packed.instant()?;
    let mut spent_at = [Timestamp::EPOCH; _];
    for spend in &mut spent_at {
        *spend = packed.instant()?;
    }
    let pair = LivePair::read(&mut packed)?;
    let previous = match packed.text()? {
        b"" => None,
        previous => Some(unpack(previous)?.into()),
    };
    packed.end()?;
    let attempt = (pair.attempt != NO_ATTEMPT)
        .then(|| AttemptId::from_bits(u128::from_be_bytes(pair.attempt)));
    let mut whose = Unpacking::new(pair.whose);
    let entry = digest(str::from_utf8(whose.text()?).ok()?)?;
    let client = str::from_utf8(whose.text()?).ok()?.into();
    let subject = unpack(whose.text()?)?.into();
    let device = str::from_utf8(whose.text()?).ok()?;
    whose.end()?;
    let current = pair.identity;
    Some(Record {
        subject,
        entry,
        client,
        device: (!device.is_empty()).then(|| device.into()),
        opened_at,
        last_used_at,
        idle_deadline,
        absolute_deadline,
        current,
        previous,
        spent_at,
        attempt,
        recovered,
        privileges_changed_at,
    })
}

/// Reads the live pair of a record.
pub(super) fn read_identity(record: &[u8]) -> Option<Identity> {
    let (head, rest) = record.split_at_checked(BEFORE_PAIR)?;
    if head.first() != Some(&KIND) {
        return None;
    }
    Some(LivePair::read(&mut Unpacking::new(rest))?.identity)
}

/// The live pair of a record, and what stands among it.
struct LivePair<'a> {
    identity: Identity,
    attempt: [u8; 16],
    whose: &'a [u8],
}

impl<'a> LivePair<'a> {
    fn read(packed: &mut Unpacking<'a>) -> Option<Self> {
        let generation = packed.number()?;
        let issued_at = packed.instant()?;
        let refresh_expires_at = packed.instant()?;
        let access_expires_at = packed.instant()?;
        let _index_until = packed.number()?;
        let attempt = packed.bytes()?;
        let whose = packed.text()?;
        let identity = Identity {
            generation,
            issued_at,
            refresh_expires_at,
            access_expires_at,
            refresh: unpack(packed.text()?)?.into(),
            access: unpack(packed.text()?)?.into(),
        };
        Some(Self {
            identity,
            attempt,
            whose,
        })
    }
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

/// An identifier in few bytes: a UUID as we write them is 16, behind one that tells it from a text. Two
/// identifiers are equal if and only if their bytes are.
pub(super) fn pack(id: &str) -> Vec<u8> {
    match uuid(id) {
        Some(uuid) => [&[UUID], uuid.as_bytes().as_slice()].concat(),
        None => [&[TEXT], id.as_bytes()].concat(),
    }
}

/// Adds an identifier, packed.
pub(super) fn identifier<'a>(packing: &'a mut Packing, id: &str) -> &'a mut Packing {
    match uuid(id) {
        Some(uuid) => packing.text_of(&[&[UUID], uuid.as_bytes()]),
        None => packing.text_of(&[&[TEXT], id.as_bytes()]),
    }
}

fn uuid(id: &str) -> Option<Uuid> {
    let mut canonical = Uuid::encode_buffer();
    let uuid = Uuid::try_parse(id).ok()?;
    (uuid.hyphenated().encode_lower(&mut canonical) == id).then_some(uuid)
}

fn unpack(bytes: &[u8]) -> Option<String> {
    match bytes.split_first()? {
        (&UUID, uuid) => Some(Uuid::from_slice(uuid).ok()?.hyphenated().to_string()),
        (&TEXT, text) => String::from_utf8(text.to_vec()).ok(),
        _ => None,
    }
}

/// An attempt as a record names it.
pub(super) fn attempt_bytes(attempt: AttemptId) -> [u8; 16] {
    attempt.bits().to_be_bytes()
}

/// The first byte of a record.
const KIND: u8 = b'S';

/// The bytes before what a live pair begins with: two, and nine instants.
const BEFORE_PAIR: usize = 2 + 9 * size_of::<f64>();

/// What stands for an attempt where there was none.
const NO_ATTEMPT: [u8; 16] = [0; 16];

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

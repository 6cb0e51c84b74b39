//! A session as the file keeps it, and the bytes of that.
//!
//! One form for each value: what decodes encodes to the same bytes again. All else is refused, since
//! a record that is read wrongly would hand out tokens.

use uuid::Uuid;

use crate::{
    clock::Timestamp,
    defaults,
    revocation::Digest,
    session::{AttemptId, Identity, Record},
    token::SessionId,
};

/// A session: its record, and what the record does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KeptSession {
    pub(super) session: SessionId,
    /// The user's digest, which names the index.
    pub(super) subject: Digest,
    /// When to look whether it may be forgotten. Not moved by rotations: a session that was used
    /// meanwhile is filed anew only then.
    pub(super) due: Timestamp,
    pub(super) record: Record,
}

impl KeptSession {
    pub(super) fn new(session: SessionId, subject: Digest, record: Record) -> Self {
        Self {
            session,
            subject,
            due: forgotten_at(&record),
            record,
        }
    }

    /// Whether it may be used at `now`, as far as its own deadlines go.
    pub(super) fn is_unexpired(&self, now: Timestamp) -> bool {
        let now = now.max(self.record.last_used_at);
        now < self.record.idle_deadline && now < self.record.absolute_deadline
    }

    /// The same, filed by its present deadlines; `None` if it may be forgotten at `now`.
    pub(super) fn filed_anew(self, now: Timestamp) -> Option<Self> {
        let due = forgotten_at(&self.record);
        (due > now).then_some(Self { due, ..self })
    }

    /// Everything but the key, the user and when it is due, which have columns of their own.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let record = &self.record;
        let mut out = Vec::with_capacity(256);
        let flags = [
            (record.device.is_some(), DEVICE),
            (record.previous.is_some(), PREVIOUS),
            (record.attempt.is_some(), ATTEMPT),
            (record.recovered, RECOVERED),
        ];
        let set = flags.iter().filter(|(is_set, _)| *is_set);
        out.push(VERSION);
        out.push(set.fold(0, |byte, (_, flag)| byte | flag));
        put_text(&mut out, self.session.as_str());
        put_text(&mut out, record.subject.as_str());
        put_text(&mut out, record.client.as_str());
        if let Some(device) = &record.device {
            put_text(&mut out, device);
        }
        let current = &record.current;
        put_number(&mut out, current.generation);
        put_text(&mut out, current.refresh.as_str());
        put_text(&mut out, current.access.as_str());
        if let Some(previous) = &record.previous {
            put_text(&mut out, previous.as_str());
        }
        let instants = [
            record.opened_at,
            record.last_used_at,
            record.idle_deadline,
            record.absolute_deadline,
            record.privileges_changed_at,
            current.issued_at,
            current.refresh_expires_at,
            current.access_expires_at,
        ];
        for instant in instants.iter().chain(&record.spent_at) {
            put_number(&mut out, instant.as_millis());
        }
        if let Some(attempt) = record.attempt {
            out.extend(attempt.bits().to_be_bytes());
        }
        out
    }

    /// The session whose entry is `entry`, from its row.
    pub(super) fn from_row(
        entry: Digest,
        (subject, due, bytes): Row<'_>,
    ) -> Result<Self, DamagedRecord> {
        let mut from = Reader(bytes);
        if from.byte()? != VERSION {
            return Err(DamagedRecord);
        }
        let flags = from.byte()?;
        if flags & !(DEVICE | PREVIOUS | ATTEMPT | RECOVERED) != 0 {
            return Err(DamagedRecord);
        }
        let has = |flag| flags & flag != 0;
        let session = from.text()?.into();
        let user = from.text()?.into();
        let client = from.text()?.into();
        let device = has(DEVICE).then(|| from.text()).transpose()?;
        let generation = from.number()?;
        let refresh = from.text()?.into();
        let access = from.text()?.into();
        let previous = has(PREVIOUS).then(|| from.text()).transpose()?;
        // In the order in which they were written.
        let record = Record {
            subject: user,
            entry,
            client,
            device: device.map(String::into_boxed_str),
            opened_at: from.instant()?,
            last_used_at: from.instant()?,
            idle_deadline: from.instant()?,
            absolute_deadline: from.instant()?,
            privileges_changed_at: from.instant()?,
            current: Identity {
                generation,
                refresh,
                access,
                issued_at: from.instant()?,
                refresh_expires_at: from.instant()?,
                access_expires_at: from.instant()?,
            },
            previous: previous.map(Into::into),
            spent_at: [
                from.instant()?,
                from.instant()?,
                from.instant()?,
                from.instant()?,
            ],
            attempt: has(ATTEMPT).then(|| from.attempt()).transpose()?,
            recovered: has(RECOVERED),
        };
        if !from.0.is_empty() {
            return Err(DamagedRecord);
        }
        Ok(Self {
            session,
            subject: Digest::from_bytes(*subject),
            due: Timestamp::from_millis(due),
            record,
        })
    }
}

/// The columns of a session: its user, when it is due, and its record.
pub(super) type Row<'a> = (&'a [u8; 16], u64, &'a [u8]);

/// The bytes are no record that this version has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record of a session is damaged, or of a later version")]
pub(super) struct DamagedRecord;

/// The record outlives all tokens that it brought forth.
fn forgotten_at(record: &Record) -> Timestamp {
    record
        .idle_deadline
        .max(record.current.refresh_expires_at)
        .max(record.current.access_expires_at)
        .saturating_add(defaults::HORIZON_MARGIN)
}

/// Seven bits a byte, the lowest first; all bytes but the last have the eighth bit set.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// The length plus one, then the bytes; our own identifiers, which are UUIDs, as a zero and 16 bytes.
fn put_text(out: &mut Vec<u8>, text: &str) {
    if let Some(uuid) = as_uuid(text) {
        out.push(0);
        out.extend(uuid.into_bytes());
    } else {
        put_number(out, text.len() as u64 + 1);
        out.extend(text.as_bytes());
    }
}

/// The UUID that is written as `text`, in the one spelling that comes back.
fn as_uuid(text: &str) -> Option<Uuid> {
    if text.len() != uuid::fmt::Hyphenated::LENGTH {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    let mut canonical = Uuid::encode_buffer();
    (uuid.hyphenated().encode_lower(&mut canonical) == text).then_some(uuid)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DamagedRecord> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(DamagedRecord)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DamagedRecord> {
        self.take(N)?.try_into().map_err(|_| DamagedRecord)
    }

    fn byte(&mut self) -> Result<u8, DamagedRecord> {
        self.array().map(|[byte]| byte)
    }

    fn number(&mut self) -> Result<u64, DamagedRecord> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            let shifted = bits << shift;
            // Neither bits beyond the 64th, nor a last byte that adds nothing.
            if shifted >> shift != bits || (byte == 0 && shift > 0) {
                return Err(DamagedRecord);
            }
            number |= shifted;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DamagedRecord)
    }

    fn instant(&mut self) -> Result<Timestamp, DamagedRecord> {
        self.number().map(Timestamp::from_millis)
    }

    fn attempt(&mut self) -> Result<AttemptId, DamagedRecord> {
        let bits = u128::from_be_bytes(self.array()?);
        Ok(AttemptId::from_bits(bits))
    }

    fn text(&mut self) -> Result<String, DamagedRecord> {
        let Some(length) = self.number()?.checked_sub(1) else {
            return Ok(Uuid::from_bytes(self.array()?).hyphenated().to_string());
        };
        let length = usize::try_from(length).map_err(|_| DamagedRecord)?;
        let text = str::from_utf8(self.take(length)?).map_err(|_| DamagedRecord)?;
        if as_uuid(text).is_some() {
            return Err(DamagedRecord);
        }
        Ok(text.to_owned())
    }
}

const VERSION: u8 = 1;

const DEVICE: u8 = 1;
const PREVIOUS: u8 = 2;
const ATTEMPT: u8 = 4;
const RECOVERED: u8 = 8;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{session::SPENDS, token::Jti};

    fn text() -> BoxedStrategy<String> {
        prop_oneof![
            any::<String>(),
            any::<u128>().prop_map(|bits| Uuid::from_u128(bits).to_string()),
            any::<u128>().prop_map(|bits| Uuid::from_u128(bits).to_string().to_uppercase()),
            any::<u128>().prop_map(|bits| Uuid::from_u128(bits).simple().to_string()),
            Just("x".repeat(1024)),
        ]
        .boxed()
    }

    fn instant() -> BoxedStrategy<Timestamp> {
        prop_oneof![
            Just(Timestamp::EPOCH),
            Just(Timestamp::from_millis(u64::MAX)),
            any::<u64>().prop_map(Timestamp::from_millis),
            (0_u64..1 << 42).prop_map(Timestamp::from_millis),
        ]
        .boxed()
    }

    fn identity() -> impl Strategy<Value = Identity> {
        let instants = prop::array::uniform3(instant());
        (any::<u64>(), text(), text(), instants).prop_map(
            |(generation, refresh, access, instants)| Identity {
                generation,
                refresh: refresh.into(),
                access: access.into(),
                issued_at: instants[0],
                refresh_expires_at: instants[1],
                access_expires_at: instants[2],
            },
        )
    }

    prop_compose! {
        fn kept()(
            session in text(),
            subject in text(),
            client in text(),
            device in prop::option::of(text()),
            current in identity(),
            previous in prop::option::of(text()),
            attempt in prop::option::of(any::<u128>()),
            recovered: bool,
            digests: [[u8; 16]; 2],
            instants in prop::array::uniform6(instant()),
            spent_at in prop::array::uniform4(instant()),
        ) -> KeptSession {
            KeptSession {
                session: session.into(),
                subject: Digest::from_bytes(digests[0]),
                due: instants[5],
                record: Record {
                    subject: subject.into(),
                    entry: Digest::from_bytes(digests[1]),
                    client: client.into(),
                    device: device.map(String::into_boxed_str),
                    opened_at: instants[0],
                    last_used_at: instants[1],
                    idle_deadline: instants[2],
                    absolute_deadline: instants[3],
                    privileges_changed_at: instants[4],
                    current,
                    previous: previous.map(Jti::from),
                    spent_at,
                    attempt: attempt.map(AttemptId::from_bits),
                    recovered,
                },
            }
        }
    }

    fn read(like: &KeptSession, bytes: &[u8]) -> Result<KeptSession, DamagedRecord> {
        let row = (like.subject.as_bytes(), like.due.as_millis(), bytes);
        KeptSession::from_row(like.record.entry, row)
    }

    /// A session as they mostly are.
    fn usual() -> KeptSession {
        let at = Timestamp::from_millis(1_790_000_000_123);
        let first = Identity {
            generation: 7,
            refresh: Jti::made_at(at),
            access: Jti::made_at(at),
            issued_at: at,
            refresh_expires_at: at,
            access_expires_at: at,
        };
        let entry = Digest::from_bytes([7; 16]);
        let policy = crate::session::Policy::default();
        let mut record = Record::opened("alice".into(), entry, "app".into(), at, first, &policy);
        record.device = Some("Firefox on Linux".into());
        record.previous = Some(Jti::made_at(at));
        record.spent_at = [at; SPENDS];
        record.attempt = Some(AttemptId::from_bits(5));
        KeptSession::new(
            SessionId::opened_at(at),
            Digest::from_bytes([1; 16]),
            record,
        )
    }

    proptest! {
        #[test]
        fn every_session_comes_back_as_it_was(kept in kept()) {
            prop_assert_eq!(read(&kept, &kept.to_bytes()), Ok(kept));
        }

        #[test]
        fn what_decodes_at_all_has_no_other_form(
            kept in kept(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let mut bytes = kept.to_bytes();
            for (index, byte) in changes {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            if let Ok(read) = read(&kept, &bytes) {
                prop_assert_eq!(read.to_bytes(), bytes);
            }
        }

        #[test]
        fn any_bytes_at_all_are_read_without_panic(bytes: Vec<u8>) {
            let mut with_version = vec![VERSION];
            with_version.extend(&bytes);
            for bytes in [bytes, with_version] {
                let _ = read(&usual(), &bytes);
            }
        }
    }

    #[test]
    fn r9_a_record_that_was_cut_off_or_added_to_is_refused() {
        let kept = usual();
        let bytes = kept.to_bytes();
        for length in 0..bytes.len() {
            assert_eq!(
                read(&kept, &bytes[..length]),
                Err(DamagedRecord),
                "{length}"
            );
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        assert_eq!(read(&kept, &longer), Err(DamagedRecord));
    }

    #[test]
    fn r9_another_version_or_an_unknown_flag_is_refused() {
        let kept = usual();
        let mut bytes = kept.to_bytes();
        for version in (0..=u8::MAX).filter(|version| *version != VERSION) {
            bytes[0] = version;
            assert_eq!(read(&kept, &bytes), Err(DamagedRecord), "{version}");
        }
        bytes[0] = VERSION;
        for flag in [16, 32, 64, 128] {
            bytes[1] ^= flag;
            assert_eq!(read(&kept, &bytes), Err(DamagedRecord), "{flag}");
            bytes[1] ^= flag;
        }
    }

    #[test]
    fn r9_a_number_in_another_spelling_is_refused() {
        for bytes in [
            &[0x80, 0x00][..],
            &[0xFF; 10],
            &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02],
            &[0x80],
            &[],
        ] {
            assert_eq!(Reader(bytes).number(), Err(DamagedRecord), "{bytes:?}");
        }
        let mut largest = Vec::new();
        put_number(&mut largest, u64::MAX);
        assert_eq!(Reader(&largest).number(), Ok(u64::MAX));
    }

    #[test]
    fn s15_a_usual_session_is_small() {
        let size = usual().to_bytes().len();
        assert!(size < 256, "{size}");
    }

    #[test]
    fn a_session_is_forgotten_after_all_of_its_tokens() {
        let mut kept = usual();
        kept.record.current.access_expires_at = kept
            .record
            .idle_deadline
            .saturating_add(defaults::ACCESS_LIFETIME);
        let last = kept.record.current.access_expires_at;
        let filed = kept.filed_anew(last).unwrap();
        assert!(filed.due > last);
        assert_eq!(filed.clone().filed_anew(filed.due), None);
    }
}

//! Listing the sessions of a user.

use std::{collections::HashSet, sync::Arc};

use crate::{
    session::Record,
    store::{
        Index, StoreError,
        redis::{
            Inner,
            reply::Reply,
            scripts::LIST,
            session::{Confirmation, record},
        },
    },
    token::SessionId,
};

impl Inner {
    pub(super) async fn list(
        self: &Arc<Self>,
        index: &Index<'_>,
    ) -> Result<Vec<(SessionId, Record)>, StoreError> {
        let (mut listed, mut seen) = (Vec::new(), HashSet::new());
        let (mut from, mut count) = ("-inf".to_owned(), PAGE);
        loop {
            let mut step = self.step(index, None, [])?;
            step.word(from.as_str());
            step.number(count);
            let answer = self.take(step.with(Confirmation::Unneeded), &LIST).await?;
            let page = Page::read(&answer).ok_or_else(|| self.odd(&answer))?;
            for (session, record) in page.sessions {
                if seen.insert(session.clone()) {
                    listed.push((session, record));
                }
            }
            if !page.is_full {
                return Ok(listed);
            }
            // The next page begins at the last opening of this one, since more sessions may share
            // it; where all of a page did, the next is larger.
            if page.last == from {
                count *= 2;
            }
            from = page.last;
        }
    }
}

/// A part of a list.
struct Page {
    /// Whether there may be more.
    is_full: bool,
    /// The last opening that was looked at, as the server writes it.
    last: String,
    sessions: Vec<(SessionId, Record)>,
}

impl Page {
    fn read(answer: &[Reply]) -> Option<Self> {
        let [_, _, word, last, sessions @ ..] = answer else {
            return None;
        };
        let session = |session: &Reply| {
            let Reply::List(pair) = session else {
                return None;
            };
            let [session, Reply::Text(bytes)] = pair.as_slice() else {
                return None;
            };
            Some((session.text()?.into(), record::read(bytes)?))
        };
        Some(Self {
            is_full: word.text()? == "more",
            last: last.text()?.to_owned(),
            sessions: sessions.iter().map(session).collect::<Option<_>>()?,
        })
    }
}

/// How many sessions one script lists.
const PAGE: u64 = 1_000;

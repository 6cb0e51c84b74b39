//! A small user table. Whose password it is stays the application's business; a real one has a
//! database here.

use std::{
    collections::HashMap,
    mem,
    num::NonZero,
    sync::{Arc, Mutex, PoisonError, RwLock},
    thread,
};

use argon2::{
    Algorithm, Argon2, Block, Params, PasswordHasher as _, Version,
    password_hash::phc::{Output, PasswordHash},
};
use jwt_revoke_core::wire::PasswordError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Users and their passwords, hashed with Argon2id. Cheap to clone.
#[derive(Clone)]
pub struct Users(Arc<Table>);

struct Table {
    hashes: RwLock<HashMap<String, String>>,
    /// Compared when there is no such user, so that the time taken does not tell names.
    nobody: String,
    desk: Desk,
}

/// More logins arrive than can be checked: try again shortly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many logins at a time")]
pub struct Busy;

impl Users {
    /// `alice` with the password `wonderland`, and `bob` with `we-can-fix-it`.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes for the salts.
    pub fn demo() -> Result<Self, argon2::password_hash::Error> {
        let mut hashes = HashMap::new();
        for (name, password) in [("alice", "wonderland"), ("bob", "we-can-fix-it")] {
            hashes.insert(name.to_owned(), hash(password)?);
        }
        Ok(Self(Arc::new(Table {
            hashes: RwLock::new(hashes),
            nobody: hash("nobody's password")?,
            desk: Desk::new(),
        })))
    }

    /// Whether `password` is the password of `name`. Takes tens of milliseconds of processor time,
    /// on a thread where that blocks nobody. Dropping the future gives its place in the queue up.
    ///
    /// # Errors
    ///
    /// [`Busy`] while as many logins wait as may.
    pub async fn check(&self, name: String, password: String) -> Result<bool, Busy> {
        let turn = self.0.desk.turn().await?;
        let table = Arc::clone(&self.0);
        let checked = tokio::task::spawn_blocking(move || {
            // Until the work is done, though the client may be gone before.
            let _turn = turn;
            let known = table.hash_of(&name);
            let hash = known.as_deref().unwrap_or(&table.nobody);
            table.matches(hash, &password) && known.is_some()
        });
        Ok(checked.await.unwrap_or(false))
    }

    /// Makes `new` the password of `name` if `current` is.
    ///
    /// # Errors
    ///
    /// [`PasswordError`]: nothing changed.
    pub async fn change(
        &self,
        name: String,
        current: String,
        new: String,
    ) -> Result<(), PasswordError> {
        if new.chars().count() < SHORTEST {
            let reason = format!("the new password needs {SHORTEST} characters");
            return Err(PasswordError::Unfit(reason.into()));
        }
        let table = Arc::clone(&self.0);
        let unavailable = |error| PasswordError::Unavailable(error);
        let turn = self.0.desk.turn().await;
        let turn = turn.map_err(|error| unavailable(error.into()))?;
        let changed = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let known = table.hash_of(&name).ok_or(PasswordError::Wrong)?;
            if !table.matches(&known, &current) {
                return Err(PasswordError::Wrong);
            }
            let new = hash(&new).map_err(|error| unavailable(Box::new(error)))?;
            let mut hashes = table.hashes.write().unwrap_or_else(PoisonError::into_inner);
            match hashes.get_mut(&name) {
                // Unless another change came first: its password is the current one.
                Some(held) if *held == known => *held = new,
                _ => return Err(PasswordError::Wrong),
            }
            Ok(())
        });
        changed
            .await
            .unwrap_or_else(|error| Err(unavailable(error.into())))
    }
}

impl Table {
    fn hash_of(&self, name: &str) -> Option<String> {
        let hashes = self.hashes.read().unwrap_or_else(PoisonError::into_inner);
        hashes.get(name).cloned()
    }

    fn matches(&self, hash: &str, password: &str) -> bool {
        self.desk
            .with_memory(|memory| verify(password.as_bytes(), hash, memory).unwrap_or_default())
    }
}

/// Where passwords are checked. Each check takes a processor and 19 MiB for a while, and whoever is
/// not logged in can ask for one: so many at a time, so many wait, and the memory is used again. Freed
/// blocks of that size would stay with the allocator.
struct Desk {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    memory: Mutex<Vec<Vec<Block>>>,
}

/// One of the checks that run. Its place in the queue and its turn are free again when it is dropped.
struct Turn {
    _place: OwnedSemaphorePermit,
    _turn: OwnedSemaphorePermit,
}

impl Desk {
    fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let turns = processors.min(MOST_TURNS);
        Self {
            places: Arc::new(Semaphore::new(turns + WAITING)),
            turns: Arc::new(Semaphore::new(turns)),
            memory: Mutex::default(),
        }
    }

    async fn turn(&self) -> Result<Turn, Busy> {
        let place = Arc::clone(&self.places).try_acquire_owned();
        let _place = place.map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let _turn = turn.map_err(|_| Busy)?;
        Ok(Turn { _place, _turn })
    }

    fn with_memory<T>(&self, work: impl FnOnce(&mut Vec<Block>) -> T) -> T {
        let pool = || self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut memory = pool().pop().unwrap_or_default();
        let done = work(&mut memory);
        // There are never more than turns.
        pool().push(mem::take(&mut memory));
        done
    }
}

/// Whether a password has this hash; `None` for a hash that cannot be read.
fn verify(password: &[u8], hash: &str, memory: &mut Vec<Block>) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let (salt, expected) = (hash.salt?, hash.hash?);
    memory.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; Output::MAX_LENGTH];
    let output = output.get_mut(..expected.len())?;
    argon2
        .hash_password_into_with_memory(password, &salt, &mut *output, memory)
        .ok()?;
    // Compared in constant time.
    Some(Output::new(output).ok()? == expected)
}

fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default()
        .hash_password(password.as_bytes())?
        .to_string())
}

/// The most checks at a time, each with 19 MiB.
const MOST_TURNS: usize = 4;

/// The most logins that wait for a turn.
const WAITING: usize = 32;

/// The shortest password that is taken, in characters.
const SHORTEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let users = Users::demo().unwrap();
        let check = |name: &str, password: &str| users.check(name.to_owned(), password.to_owned());
        assert_eq!(check("alice", "wonderland").await, Ok(true));
        assert_eq!(check("alice", "we-can-fix-it").await, Ok(false));
        assert_eq!(check("alice", "").await, Ok(false));
        assert_eq!(check("mallory", "nobody's password").await, Ok(false));
        // After others, in the same memory.
        assert_eq!(check("bob", "we-can-fix-it").await, Ok(true));
        assert_eq!(users.0.desk.memory.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn beyond_the_queue_logins_are_refused_and_who_leaves_makes_room() {
        let desk = Desk::new();
        let turns = desk.turns.available_permits();
        let mut running = Vec::new();
        for _ in 0..turns {
            running.push(desk.turn().await.unwrap());
        }
        let mut waiting: Vec<_> = (0..WAITING).map(|_| Box::pin(desk.turn())).collect();
        for waits in &mut waiting {
            assert!(futures_are_pending(waits.as_mut()));
        }
        assert_eq!(desk.turn().await.err(), Some(Busy));
        // One client hangs up.
        drop(waiting.pop());
        let mut next = Box::pin(desk.turn());
        assert!(futures_are_pending(next.as_mut()));
        // A check that ends lets the first of them go on, and one more wait.
        running.pop();
        running.push(waiting.remove(0).await.unwrap());
        assert!(futures_are_pending(Box::pin(desk.turn()).as_mut()));
    }

    fn futures_are_pending<F: Future>(future: std::pin::Pin<&mut F>) -> bool {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        future.poll(&mut cx).is_pending()
    }

    #[tokio::test]
    async fn a_password_changes_for_who_knows_it() {
        let users = Users::demo().unwrap();
        let change = |name: &str, current: &str, new: &str| {
            users.change(name.to_owned(), current.to_owned(), new.to_owned())
        };
        for (name, current, new) in [
            ("alice", "guess", "looking-glass"),
            ("mallory", "nobody's password", "looking-glass"),
            ("alice", "wonderland", "short"),
        ] {
            assert!(change(name, current, new).await.is_err(), "{name} {new}");
        }
        change("alice", "wonderland", "looking-glass")
            .await
            .unwrap();
        // Repeated as the routes repeat it.
        change("alice", "looking-glass", "looking-glass")
            .await
            .unwrap();
        let check = |password: &str| users.check("alice".to_owned(), password.to_owned());
        assert_eq!(check("looking-glass").await, Ok(true));
        assert_eq!(check("wonderland").await, Ok(false));
    }
}

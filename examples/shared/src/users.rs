//! A small user table. Whose password it is stays the application's business; a real one has a
//! database here.

use std::{collections::HashMap, sync::Arc};

use argon2::{
    Argon2, PasswordHasher as _, PasswordVerifier as _, password_hash::phc::PasswordHash,
};
use tokio::sync::Semaphore;

/// Users and their passwords, hashed with Argon2id. Cheap to clone.
#[derive(Clone)]
pub struct Users(Arc<Table>);

struct Table {
    hashes: HashMap<&'static str, String>,
    /// Compared when there is no such user, so that the time taken does not tell names.
    nobody: String,
    /// Each check takes a processor and 19 MiB for a while, and whoever is not logged in can ask for
    /// one: so many at a time, the others wait.
    turns: Semaphore,
}

impl Users {
    /// `alice` with the password `wonderland`, and `bob` with `we-can-fix-it`.
    ///
    /// # Errors
    ///
    /// When the operating system has no random bytes for the salts.
    pub fn demo() -> Result<Self, argon2::password_hash::Error> {
        let mut hashes = HashMap::new();
        for (name, password) in [("alice", "wonderland"), ("bob", "we-can-fix-it")] {
            hashes.insert(name, hash(password)?);
        }
        Ok(Self(Arc::new(Table {
            hashes,
            nobody: hash("nobody's password")?,
            turns: Semaphore::new(4),
        })))
    }

    /// Whether `password` is the password of `name`. Takes tens of milliseconds of processor time,
    /// on a thread where that blocks nobody.
    pub async fn check(&self, name: String, password: String) -> bool {
        let table = Arc::clone(&self.0);
        let Ok(_turn) = self.0.turns.acquire().await else {
            return false;
        };
        let checked = tokio::task::spawn_blocking(move || {
            let known = table.hashes.get(name.as_str());
            let hash = known.unwrap_or(&table.nobody);
            let matches = PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            });
            matches && known.is_some()
        });
        checked.await.unwrap_or(false)
    }
}

fn hash(password: &str) -> Result<String, argon2::password_hash::Error> {
    Ok(Argon2::default()
        .hash_password(password.as_bytes())?
        .to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_is_right() {
        let users = Users::demo().unwrap();
        let check = |name: &str, password: &str| users.check(name.to_owned(), password.to_owned());
        assert!(check("alice", "wonderland").await);
        assert!(!check("alice", "we-can-fix-it").await);
        assert!(!check("mallory", "nobody's password").await);
    }
}

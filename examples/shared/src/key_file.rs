//! The signing key, kept in a file beside the store.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use jwt_revoke_core::verify::{Algorithm, KeyError, SigningKey};

/// The key file cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or made.
    #[error("the key file {path:?} cannot be read or made; check the folder and its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// It does not hold a key.
    #[error("the key file {path:?} holds no key; move it away, and a new key is made")]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// It holds a key for another algorithm than is asked for.
    #[error("the key file {path:?} holds a key for {found}, and JWT_REVOKE_ALG asks for {wanted}")]
    Algorithm {
        /// The file.
        path: PathBuf,
        /// The key's algorithm.
        found: Algorithm,
        /// The algorithm asked for.
        wanted: Algorithm,
    },
    /// No key could be made.
    #[error("no key for {0} could be made")]
    Generate(Algorithm, #[source] KeyError),
}

/// The key in `path`, made when the file is missing. Of several processes that start at once, one
/// makes it and all use it.
///
/// # Errors
///
/// [`KeyFileError`] tells the file and the mend. A file that is there is never overwritten.
pub fn signing_key(path: &Path, algorithm: Algorithm) -> Result<SigningKey, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        source,
    };
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = SigningKey::generate(algorithm)
                .map_err(|error| KeyFileError::Generate(algorithm, error))?;
            create(path, &key.to_key_file()).map_err(failed)?;
            fs::read_to_string(path)
        }
        read => read,
    };
    let key = SigningKey::from_key_file(&text.map_err(failed)?).map_err(|source| {
        KeyFileError::Content {
            path: path.to_owned(),
            source,
        }
    })?;
    if key.algorithm() != algorithm {
        let (path, found) = (path.to_owned(), key.algorithm());
        return Err(KeyFileError::Algorithm {
            path,
            found,
            wanted: algorithm,
        });
    }
    Ok(key)
}

/// Writes a file whole or not at all, readable by its owner only, unless one is there already.
fn create(path: &Path, text: &str) -> io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Ok(_) => fs::File::open(folder)?.sync_all(),
        Err(failed) if failed.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(failed) => Err(failed.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_start_at_once_share_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data/key");
        let ids: std::collections::HashSet<_> = std::thread::scope(|scope| {
            let make = || {
                signing_key(&path, Algorithm::EdDSA)
                    .unwrap()
                    .id()
                    .to_string()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(make)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        });
        assert_eq!(ids.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        signing_key(&path, Algorithm::ES256).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_that_is_no_key_or_another_key_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "precious").unwrap();
        let error = signing_key(&path, Algorithm::EdDSA).unwrap_err();
        assert!(matches!(error, KeyFileError::Content { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        let other = folder.path().join("other");
        signing_key(&other, Algorithm::HS256).unwrap();
        let error = signing_key(&other, Algorithm::EdDSA).unwrap_err();
        assert!(matches!(error, KeyFileError::Algorithm { .. }), "{error}");
    }
}

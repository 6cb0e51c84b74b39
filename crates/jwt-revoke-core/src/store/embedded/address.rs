//! `memory:` and `file:PATH`.

use std::path::PathBuf;

use crate::store::StoreError;

/// Where a store is kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    Memory,
    /// In this folder.
    Folder(PathBuf),
}

impl Place {
    pub(super) fn parse(address: &str) -> Result<Self, StoreError> {
        let invalid = |reason: &str| {
            Err(StoreError::Address {
                address: address.into(),
                reason: reason.into(),
            })
        };
        match address.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => invalid("nothing follows memory:"),
            Some(("file", path)) => {
                let path = match path.strip_prefix("//") {
                    Some(path) if path.starts_with('/') => path,
                    Some(_) => return invalid("a file on another host cannot be opened"),
                    None => path,
                };
                if path.is_empty() || path.contains('\0') {
                    return invalid("the path of a folder must follow file:");
                }
                Ok(Self::Folder(path.into()))
            }
            // Only the scheme: what follows may hold a password.
            other => Err(StoreError::Address {
                address: format!("{}:..", other.map_or("", |(scheme, _)| scheme)),
                reason: "an embedded store is at memory: or file:PATH".into(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_as_it_stands() {
        let folder = |path: &str| Place::Folder(path.into());
        assert_eq!(Place::parse("memory:").unwrap(), Place::Memory);
        assert_eq!(
            Place::parse("file:data/x y%20").unwrap(),
            folder("data/x y%20")
        );
        assert_eq!(
            Place::parse("file:/var/lib/x").unwrap(),
            folder("/var/lib/x")
        );
        assert_eq!(
            Place::parse("file:///var/lib/x").unwrap(),
            folder("/var/lib/x")
        );
    }

    #[test]
    fn r9_what_names_no_folder_is_an_error() {
        for address in [
            "",
            "memory",
            "memory:x",
            "file",
            "file:",
            "file://",
            "file://host/x",
        ] {
            let error = Place::parse(address).unwrap_err();
            assert!(
                matches!(error, StoreError::Address { .. }),
                "{address}: {error}"
            );
        }
        let error = Place::parse("redis://user:secret@host").unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

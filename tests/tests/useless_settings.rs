//! Settings that could never have an effect: each is an error, or a panic that says so, where it is set.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::{panic::catch_unwind, time::Duration};

use jwt_revoke_core::{
    Guard, Issuer, Verifier,
    session::Sessions,
    store::EmbeddedStore,
    verify::{Algorithm, SigningKey},
    wire::{Companion, Cookies, Origin},
};

fn issuer() -> Issuer {
    let key = SigningKey::generate(Algorithm::EdDSA).unwrap();
    Issuer::new(key, "https://auth.example.com", "api")
}

fn guard() -> Guard {
    Guard::new(issuer().verifier(), EmbeddedStore::in_memory())
}

fn verifier() -> Verifier {
    issuer().verifier()
}

/// What a panic says.
fn panics(set: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let payload = catch_unwind(set).unwrap_err();
    let text = payload.downcast_ref::<String>().cloned();
    text.or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
        .unwrap()
}

#[test]
fn s51_settings_that_could_never_match_are_refused_where_they_are_set() {
    for name in ["", "my session", "session=", "a;b"] {
        let layer = || drop(tower_jwt_revoke::RevocationLayer::new(guard()).from_cookie(name));
        assert!(panics(layer).contains("no name of a cookie"), "{name}");
        let layer = || drop(actix_jwt_revoke::RevocationLayer::new(guard()).from_cookie(name));
        assert!(panics(layer).contains("no name of a cookie"), "{name}");
    }
    let none = || drop(verifier().with_kinds([]));
    assert!(panics(none).contains("name at least one"));
    let zero = || drop(verifier().with_max_lifetime(Duration::ZERO));
    assert!(panics(zero).contains("at least a second"));
    let sessions = || {
        let issuer = issuer();
        let guard = Guard::new(issuer.verifier(), EmbeddedStore::in_memory());
        Sessions::new(&guard, issuer)
    };
    for clients in [vec![], vec![""], vec!["app", ""]] {
        let companion = || drop(Companion::new(&sessions()).with_clients(clients));
        assert!(panics(companion).contains("name each client"));
    }
    for path in [
        "",
        "auth",
        "/auth?x",
        "/{tenant}",
        "/a/../b",
        "https://example.com/auth",
    ] {
        let error = Cookies::under(path).unwrap_err();
        assert!(error.to_string().contains("such as"), "{error}");
    }
    let error = "https://app.example.com/".parse::<Origin>().unwrap_err();
    assert!(error.to_string().contains("write"), "{error}");
}

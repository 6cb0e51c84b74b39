//! A tower layer that verifies JWTs and refuses revoked ones.

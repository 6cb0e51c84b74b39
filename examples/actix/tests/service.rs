//! The program as a process, by the suite of all example programs.

jwt_revoke_tests::service_suite!(env!("CARGO_BIN_EXE_example-actix"));

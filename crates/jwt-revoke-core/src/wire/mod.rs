//! What both sides of HTTP say: decided here once, as plain data, translated by the adapters.

//! Rego packs.

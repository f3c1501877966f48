//! Certificates of an authority that is asked for them (RFC 8555): orders, proofs, and the files they are kept in.
//!
//! Only here an authority is spoken to. What is ordered when is decided in the domain.

mod authority;
mod failed;
mod issuer;
pub(super) mod kept;
mod order;
mod proofs;

pub(super) use issuer::{Issuer, IssuerParts};

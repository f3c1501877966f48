//! The embedded TLS proxy and the gate.

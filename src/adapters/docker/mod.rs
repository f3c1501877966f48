//! Docker Engine through bollard, and its builder.

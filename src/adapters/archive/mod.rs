//! Archives: tar in zstd, written whole or not at all.

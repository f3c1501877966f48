//! What a branch may ask for in its compose file.

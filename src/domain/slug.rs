//! Slugs and hostnames.

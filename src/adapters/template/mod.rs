//! Tera templates: the overlay and the starter stacks.

//! Steps and plans, printable.

//! Settings of the daemon: flag > environment > file > default; all faults are reported at once.

//! Child processes: own group, clean environment, time limit, output by lines; the jail.

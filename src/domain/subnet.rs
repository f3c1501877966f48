//! Subnets for networks.

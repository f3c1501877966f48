//! From the accepted compose document to the stack that is deployed.

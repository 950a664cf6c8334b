//! The operations.

mod domains;
mod hosts;
mod verifying;

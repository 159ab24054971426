//! A fault at any system call of the real binary leaves an index that is whole.
//!
//! `strace` stops a process at the Nth call of a kind, by SIGKILL or by letting the call fail: the server
//! while it takes uploads and publishes them (`server`), `repo import` and `repo gc` (`commands`). Nothing
//! in the index takes part. It counts the calls of each thread by itself.
//!
//! `WAXSEAL_SWEEP=full` tries every single call; without it the calls that come by the dozen are tried in
//! steps.

mod commands;
mod durable;
mod faults;
mod server;
mod stopped;
mod strace;
mod summary;
mod world;

//! `src/reference.rs` again and again, each time with one mistake: one module for each line of the
//! table in `build.rs`. The comparison with the engine must see every one of them.

#![allow(missing_docs, non_snake_case)] // modules bear the mistakes' names
#![allow(unused)] // a mistake may leave something unread

include!(concat!(env!("OUT_DIR"), "/mutants.rs"));

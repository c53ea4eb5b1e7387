//! Ranks: processes, perhaps on many machines, that train one network together.
//!
//! Every rank has all parameters, and the rows of some [groups](Shares) of each batch. Where sums over rows meet,
//! bytes travel: each rank gets a part of every rank's gradient, adds these up along the same tree as one process
//! would, and gives the sum to all. So the bits do not depend on the number of ranks, and the library that carries
//! the bytes never adds anything.
//!
//! That library is behind [`Collective`]; `karenina-mpi` is the one over MPI.

mod collective;
mod exchange;
mod shares;
mod sum;

pub use collective::{Collective, Message};
pub use exchange::Ranks;
pub use shares::Shares;

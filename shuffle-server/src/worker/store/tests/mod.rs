//! Tests of the store as a whole: through its methods, on real folders.

mod copies;
mod crash;
mod draining;
mod faults;
mod folders;
mod hangs;
mod medium;
mod model;
mod pushes;
mod reads;
mod removal;
mod settling;
mod support;

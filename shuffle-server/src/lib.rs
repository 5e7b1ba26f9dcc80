//! The Overhand server: worker, coordinator and the overhand command.

pub mod disk;
pub mod index;
pub mod memory;
pub mod segment;
pub mod worker;

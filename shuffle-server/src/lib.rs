//! The Overhand server: worker, coordinator and the overhand command.
